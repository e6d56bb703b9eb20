"""The README's table and picture are those of the committed run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.comparison_table import compare
from bench.report.html.table_data import table_data
from bench.reporting import render_report
from bench.runs.finished_run import read_run

ROOT = Path(__file__).parents[2]
RUN = ROOT / "results" / "showcase"


def tables(text: str) -> dict[tuple[str, str], str]:
    """The cells of all Markdown tables in a text, by row and column."""
    cells: dict[tuple[str, str], str] = {}
    header: list[str] = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.strip("|").split("|")] if line.startswith("|") else []
        if not fields:
            header = []
        elif not header:
            header = fields
        elif set(line) != {"|", "-"}:
            cells |= {(fields[0], column): field for column, field in zip(header, fields, strict=True)}
    return cells


def test_every_cell_of_the_readmes_table_is_in_the_runs_report() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- showcase:begin -->")[2].partition("<!-- showcase:end -->")[0]
    report = tables((RUN / "report.md").read_text(encoding="utf-8"))
    shown = tables(block)
    assert len(shown) == 9 * 5
    assert {place: report.get(place) for place in shown} == shown


@pytest.mark.parametrize("run", [RUN, ROOT / "results" / "tiny-unet"])
def test_the_committed_reports_are_what_their_tables_give(run: Path) -> None:
    assert render_report(run, "markdown") == (run / "report.md").read_text(encoding="utf-8")


def test_the_comparison_of_the_backbones_has_the_numbers_of_both_runs() -> None:
    page = (ROOT / "results" / "backbones" / "README.md").read_text(encoding="utf-8")
    unet, transformer = (
        tables((ROOT / "results" / run / "report.md").read_text(encoding="utf-8"))
        for run in ("tiny-unet", "showcase")
    )
    lines = [line.strip("| ").split(" | ") for line in page.partition("| row |")[2].splitlines()[2:]]
    rows = [line for line in lines if len(line) == 7]
    assert len(rows) == 8
    for name, *shown in rows:
        columns = ("identity (sface) ↑", "prompt-match (attributes) ↑", "fit s")
        cells = [report[name, column] for column in columns for report in (unet, transformer)]
        assert shown == [cell.split()[0] for cell in cells]


def test_the_committed_page_has_the_numbers_of_the_runs_tables() -> None:
    text = (RUN / "page.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found, "make it again with results/scripts/showcase_page.py"
    assert texts(json.loads(found[1])["table"]) == texts(table_data(compare(read_run(RUN))))


def texts(table: dict[str, Any]) -> dict[str, list[str]]:
    """By column, the texts of its cells."""
    return {one["title"]: [cell["value"]["text"] for cell in one["cells"]] for one in table["columns"]}


def test_the_readme_shows_the_page() -> None:
    assert "results/showcase/page.webp" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (RUN / "page.webp").read_bytes()[8:12] == b"WEBP"
    assert sum((RUN / name).stat().st_size for name in ("page.html", "page.webp")) < 3_000_000
