"""Expected costs of a run, from those of earlier ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.runner.estimate import Estimate, cost_lines, estimate
from bench.runs.plan import Cell, ImageCounts, make_plan
from bench.runs.records.run_manifest import read_run_manifest, write_run_manifest
from bench.runs.records.tables import CELLS, FITS, CellRow, FitRow, read_rows, write_rows
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity
from bench.suite.prompts import Prompt
from bench.suite.suite import Suite, open_suite

Bench = Callable[..., int]
FAKE = "fake_method:FakeMethod"


@pytest.fixture
def earlier(bench: Bench, suite: Path) -> Path:
    """A run with 2 s per image, 10 s and 1,000 bytes per fit, and .5 s of scoring per image."""
    out = Path("results/earlier")
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", out) == 0
    cells = [replace(row, seconds=2.0) for row in read_rows(out / CELLS, CellRow)]
    write_rows(out / CELLS, cells, CellRow)
    fits = [replace(row, seconds=10.0, bytes=1000) for row in read_rows(out / FITS, FitRow)]
    write_rows(out / FITS, fits, FitRow)
    write_run_manifest(out, replace(read_run_manifest(out), scoring_seconds_per_image=0.5))
    return out


def cells(method: str, people: int = 2, samples: int = 3) -> list[Cell]:
    everybody = [Identity(f"p{i}", "man", (), ()) for i in range(people)]
    return make_plan([method], everybody, [Prompt("x", "{subject}")], ImageCounts(samples), seed=0).cells


def made(wanted: list[Cell], suite: Suite) -> Estimate | None:
    return estimate(wanted, suite, RunFolder(Path("results/new")), Path("results"))


def test_costs_are_those_of_the_earlier_run_for_each_fit_and_image(earlier: Path, suite: Path) -> None:
    found = made(cells(FAKE), open_suite(str(suite)).suite)
    assert found is not None
    assert found.seconds == 2 * 10.0 + 6 * 2.0
    assert found.rows[FAKE].fit_seconds == 10.0
    assert found.scoring_seconds == 6 * 0.5
    images = [path.stat().st_size for path in earlier.rglob("images/**/ada/*.*")]
    assert found.bytes == pytest.approx(2 * 1000 + 6 * sum(images) / (len(images) / 2), rel=0.05)
    assert list(cost_lines(found, 2)) == [
        "time: about 19 s with 2 processes; disk: about 0 MB; by the costs of results/earlier"
    ]


def test_rows_that_no_earlier_run_has_are_named(earlier: Path, suite: Path) -> None:
    found = made([*cells(FAKE), *cells("another")], open_suite(str(suite)).suite)
    assert found is not None
    assert found.unknown == ("another",)
    assert "not counted, because no earlier run has them: another" in list(cost_lines(found, 1))


def test_run_with_another_backbone_says_nothing(earlier: Path, suite: Path) -> None:
    other = open_suite(str(suite)).suite
    other = replace(other, backbone=replace(other.backbone, steps=99))
    assert made(cells(FAKE), other) is None
    assert list(cost_lines(None, 1)) == [
        "time and disk: unknown, because no earlier run has these rows and this backbone"
    ]


def test_damaged_tables_of_an_earlier_run_are_skipped(earlier: Path, suite: Path) -> None:
    (earlier / CELLS).write_text("no table")
    assert made(cells(FAKE), open_suite(str(suite)).suite) is None


def test_dry_run_prints_size_and_costs(
    earlier: Path, suite: Path, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "results/new", "--dry-run") == 0
    size, costs = capsys.readouterr().out.splitlines()
    assert size.startswith("1 rows, 3 people, 4 prompts: 18 of 18 cells into results/new; 0 have an image")
    assert costs.startswith("time: about 75 s with 1 process; ")
