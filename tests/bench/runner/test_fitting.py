"""Checkpoints of one fit are rows of their own, and fitted once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.atomic_io import read_json
from bench.runs.records.tables import FITS, FitRow, read_rows

Bench = Callable[..., int]
METHOD = "fake_method:FakeWithCheckpoints"
ROWS = [METHOD, *(f"{METHOD}@checkpoint={steps}" for steps in (1, 3, 4))]


@pytest.fixture
def swept(suite: Path) -> Path:
    """The suite with three checkpoints of fits of four steps, which log every step."""
    sweep = f'\n[[sweep]]\nmethods = ["{METHOD}"]\nsetting = "checkpoint"\nvalues = [1, 3, 4]\n'
    log = suite.parent / "steps.txt"
    suite.write_text(f'{suite.read_text()}\n[methods."{METHOD}"]\npause = 0.01\nlog = "{log}"\n{sweep}')
    return suite


def steps_made(suite: Path) -> int:
    """Number of training steps since the last call."""
    log = suite.parent / "steps.txt"
    count = len(log.read_text().split()) if log.exists() else 0
    log.unlink(missing_ok=True)
    return count


def folder_of(row: str, run: str = "run") -> Path:
    return Path(run, "fits", row.replace(":", "+"))


def images_of(run: str) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in Path(run).rglob("images/**/*.png")}


def test_rows_of_one_fit_are_fitted_once_with_the_costs_up_to_their_state(bench: Bench, swept: Path) -> None:
    run = ("run", "--suite", swept, "--methods", ",".join(ROWS), "--out", "run")
    assert bench(*run) == 0
    assert steps_made(swept) == 3 * 4
    texts = [(folder_of(row) / "ada" / "subject.txt").read_text().split()[-1] for row in ROWS]
    assert texts == ["step-4", "step-1", "step-3", "step-4"]
    assert len({read_json(folder_of(row) / "ada.json")["fingerprint"] for row in ROWS}) == len(ROWS)
    seconds = {row.method: row.seconds or 0.0 for row in read_rows(Path("run") / FITS, FitRow)}
    whole, one, three, four = (seconds[row] for row in ROWS)
    assert 0.01 <= one <= three - 0.02 <= whole - 0.03
    assert four == whole
    first = images_of("run")
    assert len(first) == 4 * 18
    assert bench(*run, "--overwrite") == 0
    assert steps_made(swept) == 3 * 4
    assert images_of("run") == first
    assert bench(*run) == 0
    assert steps_made(swept) == 0


def test_processes_do_not_repeat_a_fit(bench: Bench, swept: Path) -> None:
    only = ("--only", "*/ada/*", "--workers", 2)
    assert bench("run", "--suite", swept, "--methods", ",".join(ROWS[1:3]), "--out", "run", *only) == 0
    assert steps_made(swept) == 3


def test_a_lost_state_is_made_again_and_the_others_are_kept(bench: Bench, swept: Path) -> None:
    run = ("run", "--suite", swept, "--methods", ",".join(ROWS), "--out", "run")
    assert bench(*run) == 0
    before, record = images_of("run"), (folder_of(ROWS[1]) / "ada.json").read_text()
    # As after a kill between two states.
    (folder_of(ROWS[2]) / "ada.json").unlink()
    for image in Path("run/images", ROWS[2].replace(":", "+"), "ada").glob("*.png"):
        image.unlink()
    steps_made(swept)
    assert bench(*run) == 0
    assert steps_made(swept) == 3
    assert images_of("run") == before
    assert (folder_of(ROWS[1]) / "ada.json").read_text() == record


def test_a_state_alone_is_the_same_as_beside_others(bench: Bench, swept: Path) -> None:
    assert bench("run", "--suite", swept, "--methods", ",".join(ROWS), "--out", "run") == 0
    steps_made(swept)
    assert bench("run", "--suite", swept, "--methods", ROWS[2], "--out", "alone") == 0
    assert steps_made(swept) == 3 * 3
    alone = images_of("alone")
    assert alone.items() <= images_of("run").items()
    name = folder_of(ROWS[2])
    assert (name / "ada/subject.txt").read_text() == (
        folder_of(ROWS[2], "alone") / "ada/subject.txt"
    ).read_text()


def test_a_failed_fit_fails_all_its_rows(bench: Bench, swept: Path) -> None:
    swept.write_text(swept.read_text().replace("pause = 0.01", "fit_fails = true"))
    assert bench("run", "--suite", swept, "--methods", ",".join(ROWS), "--out", "run") == 3
    assert not images_of("run")
    assert not list(Path("run/fits").glob("*/*.json"))


def test_dry_run_counts_one_fit(bench: Bench, swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ("run", "--suite", swept, "--methods", ",".join(ROWS), "--out", "run")
    assert bench(*run, "--dry-run") == 0
    assert "72 images to make, with 3 fits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "message"),
    [("5", "checkpoint = 5, the fit has steps = 4"), ("0", "expected a number of steps of at least 1")],
)
def test_state_that_no_fit_has_is_refused(
    bench: Bench, swept: Path, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    swept.write_text(swept.read_text().replace("[1, 3, 4]", f"[{value}]"))
    assert bench("run", "--suite", swept, "--methods", "all", "--out", "run") == 2
    assert message in capsys.readouterr().err
