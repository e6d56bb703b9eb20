"""The README's tables equal those of the committed run in results/showcase."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "results" / "showcase"


def readme_table_lines() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- showcase:begin -->")[2].partition("<!-- showcase:end -->")[0]
    return [line for line in block.splitlines() if line.startswith("|")]


def test_every_table_line_of_the_readme_is_in_the_report() -> None:
    report = (RUN / "report.md").read_text(encoding="utf-8").splitlines()
    lines = readme_table_lines()
    assert len(lines) > 10
    assert [line for line in lines if line not in report] == []


@pytest.mark.parametrize("run", [RUN, RUN.with_name("personalisation")], ids=lambda run: run.name)
def test_report_equals_what_the_scores_give(run: Path) -> None:
    from bench.benchmark import render_report

    assert render_report(run, "markdown") == (run / "report.md").read_text(encoding="utf-8")


def test_image_grid_of_the_readme_exists() -> None:
    assert "results/showcase/grid.webp" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (RUN / "grid.webp").stat().st_size > 10_000
