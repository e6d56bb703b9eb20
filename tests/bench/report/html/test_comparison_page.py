"""The page that compares two runs."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fake_run import write_run

from bench.report.html.comparison_page import write_comparison_page
from bench.report.run_comparison import run_comparison
from bench.runs.finished_run import read_run
from bench.subjects.identity import Identity


@pytest.fixture
def changed_folder(known_folder: Path) -> Path:
    """A second run beside the known one: other scores of `tuned`, images of `close` only."""
    run, folder = read_run(known_folder), known_folder.with_name(f"{known_folder.name}-changed")
    rows = tuple(
        replace(row, value=row.value + 0.1) if row.method == "tuned" and row.value is not None else row
        for row in run.scores
    )
    cells = tuple(replace(cell, picture=f"new {cell.method}") for cell in run.cells)
    if not folder.exists():
        folder.mkdir()
        write_run(folder, replace(run, scores=rows, cells=cells))
        (folder / "images").mkdir()
        (folder / "images" / "close").symlink_to(known_folder / "images" / "close")
    return folder


def data_of(path: Path) -> dict[str, Any]:
    text = path.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_images_and_scores_of_both_runs_are_side_by_side(
    known_folder: Path, changed_folder: Path, known_people: list[Identity]
) -> None:
    one, other = read_run(known_folder), read_run(changed_folder)
    path = changed_folder / "comparison.html"
    write_comparison_page(one, other, known_people, path)
    data = data_of(path)
    labels = [method["label"] for method in data["methods"]]
    assert labels[:2] == ["text-only, first run", "text-only, second run"]
    assert [data["methods"][method["twin"]]["twin"] for method in data["methods"]] == list(range(10))
    gallery = data["gallery"]
    first, second = (labels.index(f"tuned, {run} run") for run in ("first", "second"))
    metric = [one["title"] for one in gallery["metrics"]].index("identity (sface)")
    row = next(row for row in gallery["rows"] if (row["person"], row["prompt"]) == ("bob", "p1"))
    before, after = (row["cells"][i]["scores"][str(metric)] for i in (first, second))
    assert after - before == pytest.approx(0.1, abs=1e-5)
    assert row["cells"][first]["image"]
    assert row["cells"][second]["problem"] == "the image is not in the run folder"
    # The images of the first run are linked across the folders.
    full = unquote(row["cells"][first]["full"])
    assert (changed_folder / full).resolve() == known_folder / "images/tuned/bob/p1.s1.png"
    assert len(gallery["people"]["ada"]["held_out"]) == 2


def test_page_has_the_numbers_of_the_text(
    known_folder: Path, changed_folder: Path, tmp_path: Path, known_people: list[Identity]
) -> None:
    one, other = read_run(known_folder), read_run(changed_folder)
    write_comparison_page(one, other, known_people, tmp_path / "page.html", embed=True)
    page = (tmp_path / "page.html").read_text()
    numbers = re.findall(r"\d\.\d{3} \[-?\d\.\d{3}, \d\.\d{3}\]", run_comparison(one, other))
    assert len(numbers) > 4
    assert [number for number in numbers if number not in page] == []
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_command_writes_the_page_into_the_second_run_folder(
    known_folder: Path, changed_folder: Path, bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("compare", known_folder, changed_folder, "--format", "html") == 0
    path = changed_folder / f"comparison-with-{known_folder.name}.html"
    assert capsys.readouterr().out == f"{path}\n"
    assert data_of(path)["gallery"]["remark"].startswith("No photographs: ")
    assert bench("compare", known_folder, changed_folder, "--embed") == 2
    assert "--embed needs --format html" in capsys.readouterr().err
