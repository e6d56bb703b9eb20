"""`fits = 2`: each person is fitted twice with different seeds, and the images of both fits are scored."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.runs.finished_run import read_run
from bench.runs.records.tables import FITS, CellRow, FitRow, read_rows
from bench.scoring.samples import StoredImages, load_identity_images

Bench = Callable[..., int]
METHOD = "fake_method:FakeMethod"


def with_fits(suite: Path, fits: int) -> Path:
    suite.write_text(suite.read_text().replace("samples = 2", f"samples = 2\nfits = {fits}"))
    return suite


def test_second_fit_is_added_to_a_finished_run(bench: Bench, suite: Path) -> None:
    assert bench("run", "--suite", suite, "--methods", METHOD, "--out", "run") == 0
    first = {path: path.stat().st_mtime_ns for path in Path("run/images").rglob("*.png")}
    assert bench("run", "--suite", with_fits(suite, 2), "--methods", METHOD, "--out", "run") == 0
    after = {path: path.stat().st_mtime_ns for path in Path("run/images").rglob("*.png")}
    assert first.items() < after.items()
    assert len(after) == 2 * len(first)
    fits = read_rows(Path("run") / FITS, FitRow)
    assert [(row.identity, row.fit) for row in fits[:2]] == [("ada", 1), ("ada", 2)]
    folder = METHOD.replace(":", "+")
    seeds = [Path(f"run/{name}/{folder}/ada/subject.txt").read_text() for name in ("fits", "fits-2")]
    assert seeds[0] != seeds[1]


def test_images_of_different_fits_are_no_group_of_samples(bench: Bench, suite: Path) -> None:
    with_fits(suite, 2)
    assert bench("run", "--suite", suite, "--methods", METHOD, "--out", "run") == 0
    run = read_run(Path("run"))
    assert {run.fit_of(row) for row in run.scores if row.method == METHOD and row.sample in (3, 4)} == {2}
    groups = {cell.sample: prompt_id(cell, suite) for cell in run.cells if cell.prompt == "red-shirt"}
    assert groups == {1: "red-shirt", 2: "red-shirt", 3: "red-shirt/fit-2", 4: "red-shirt/fit-2"}


def prompt_id(cell: CellRow, suite: Path) -> str:
    from bench.datasets.registry import open_people
    from bench.runs.run_folder import RunFolder
    from bench.suite.suite import open_suite

    file = open_suite(str(suite))
    images = load_identity_images(open_people(file.suite.dataset, file.base).chosen, file.suite)
    (one,) = StoredImages(RunFolder(Path("run")), file.suite, images).of_subject([cell])
    return one.sample.prompt_id


@pytest.mark.parametrize("fits", [0, -1])
def test_number_of_fits_is_at_least_1(
    bench: Bench, suite: Path, fits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("run", "--suite", with_fits(suite, fits), "--methods", METHOD, "--out", "run") == 2
    assert f"fits = {fits}; expected a number from 1" in capsys.readouterr().err
