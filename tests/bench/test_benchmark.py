"""The main path, end to end, on a method that needs no backbone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.errors import ExitStatus

FAKE = "fake_method:FakeMethod"
Bench = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def pictures(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted((run / "images").rglob("*.png"))}


def with_settings(suite: Path, settings: str) -> Path:
    """The suite with settings of the fake method."""
    suite.write_text(suite.read_text() + f'\n[methods."{FAKE}"]\n{settings}\n')
    return suite


def only_line(captured: Captured) -> str:
    """The one line on stderr that a refusal is."""
    lines = captured.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_run_draws_every_cell_and_prints_the_table(bench: Bench, suite: Path, capsys: Captured) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.DONE
    assert len(pictures(Path("run"))) == 3 * 3 * 2
    printed = capsys.readouterr().out
    assert "identity (fake-eye)" in printed
    assert "real (same person)" in printed
    for name in ("suite.toml", "run.json", "cells.csv", "fits.csv", "scores.csv", "report.md", "grid.png"):
        assert Path("run", name).stat().st_size > 0, name


def test_a_second_run_makes_only_what_is_missing(bench: Bench, suite: Path, run_folder: Path) -> None:
    before = pictures(run_folder)
    gone = run_folder / sorted(before)[5]
    gone.unlink()
    times = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*.png") if path.name != "grid.png"}
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", run_folder) == 0
    assert pictures(run_folder) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_picture_does_not_depend_on_which_cells_were_chosen(
    bench: Bench, suite: Path, run_folder: Path
) -> None:
    words = ("run", "--suite", suite, "--methods", FAKE, "--out", "part", "--only", "*/bob/red-shirt/s2")
    assert bench(*words) == 0
    part = pictures(Path("part"))
    assert len(part) == 1
    assert part.items() <= pictures(run_folder).items()


def test_the_method_sees_the_slot_and_the_metric_the_noun(run_folder: Path) -> None:
    from fake_method import read_stamp

    drawn = run_folder / "images" / FAKE.replace(":", "+") / "ada" / "red-shirt.s1.png"
    with Image.open(drawn) as picture:
        assert "a photo of {subject}, wearing a red shirt" in read_stamp(picture)
    scores = (run_folder / "scores.csv").read_text().splitlines()
    mine = [
        line.split(",") for line in scores if line.startswith(f"{FAKE},ada,red-shirt,") and ",length," in line
    ]
    assert [line[7] for line in mine] == [str(float(len("a photo of a woman, wearing a red shirt")))] * 2


def test_a_failing_cell_is_a_row_with_its_reason_and_the_others_go_on(
    bench: Bench, suite: Path, capsys: Captured
) -> None:
    with_settings(suite, 'fails_on = "red"')
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.SOME_FAILED
    assert len(pictures(Path("run"))) == 3 * 2 * 2
    assert "cannot draw 'a photo of {subject}, wearing a red shirt'" in capsys.readouterr().out
    failed = Path("run", "images", FAKE.replace(":", "+"), "ada", "red-shirt.s1.failed.json")
    assert "Traceback" in json.loads(failed.read_text())["traceback"]
    report = Path("run", "report.md").read_text()
    assert "(12 of 18)" in report
    assert "6 cells: failed: cannot draw" in report


def test_a_cell_that_failed_is_tried_again(bench: Bench, suite: Path) -> None:
    plain = suite.read_text()
    with_settings(suite, 'fails_on = "red"')
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.SOME_FAILED
    suite.write_text(plain)
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run", "--overwrite") == ExitStatus.DONE
    assert not list(Path("run").rglob("*.failed.json"))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [("needs = 9", "2 photos, fake needs 9"), ("fit_fails = true", "RuntimeError: the fit fell over")],
)
def test_a_person_who_cannot_be_fitted_is_rows_with_the_reason(
    settings: str, reason: str, bench: Bench, suite: Path, capsys: Captured
) -> None:
    with_settings(suite, settings)
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.SOME_FAILED
    assert reason in capsys.readouterr().out


def test_a_method_that_returns_too_few_pictures_is_told_so(
    bench: Bench, suite: Path, capsys: Captured
) -> None:
    words = ("run", "--suite", suite, "--methods", "fake_method:LeavesTooFew", "--out", "run")
    # Asked for a single picture it returns a single one, so that every cell is there in the end.
    assert bench(*words, "--only", "*/ada/*") == ExitStatus.DONE
    assert "identity" in capsys.readouterr().out


def test_pictures_made_in_another_way_are_not_drawn_over(bench: Bench, suite: Path, capsys: Captured) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == 0
    before = pictures(Path("run"))
    with_settings(suite, "pause = 0.001")
    capsys.readouterr()
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.WRONG_INPUT
    line = only_line(capsys)
    assert "setting pause: 0.0 / 0.001" in line
    assert "--overwrite" in line
    assert pictures(Path("run")) == before
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run", "--overwrite") == 0
    assert pictures(Path("run")) != before


def test_methods_that_drew_here_before_stay_in_the_table(bench: Bench, suite: Path, capsys: Captured) -> None:
    suite.write_text(suite.read_text() + f'\n[methods.other]\nlike = "{FAKE}"\npause = 0.001\n')
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == 0
    capsys.readouterr()
    assert bench("run", "--suite", suite, "--methods", "other", "--out", "run") == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| fake", "| other"))]
    assert any(line.startswith("| fake_method") for line in rows)
    assert any(line.startswith("| other") for line in rows)


def test_another_seed_draws_into_another_folder(bench: Bench, suite: Path) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE) == 0
    assert bench("run", "--suite", suite, "--methods", FAKE, "--seed", 7) == 0
    one, other = pictures(Path("results/fake")), pictures(Path("results/fake-seed7"))
    assert one.keys() == other.keys()
    assert not {*one.values()} & {*other.values()}


def test_report_takes_the_latest_run(bench: Bench, suite: Path, capsys: Captured) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE) == 0
    capsys.readouterr()
    assert bench("report") == 0
    assert capsys.readouterr().out == Path("results/fake/report.md").read_text()
    assert bench("report", "results/fake", "--format", "json", "--output", "fake.json") == 0
    assert json.loads(Path("fake.json").read_text())["scores"][0]["metric"] == "identity"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--methods", "dreamboth-lora"), "did you mean 'dreambooth-lora'?"),
        (("--methods", "nowhere:Method"), "cannot load nowhere:Method"),
        (("--methods", ","), "--methods names no method"),
        (("--only", "*/nobody/*"), "matches none of 18 cells"),
        (("--executor", "cluster"), "unknown executor 'cluster'"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    words: tuple[str, ...], line: str, bench: Bench, suite: Path, capsys: Captured
) -> None:
    methods = () if "--methods" in words else ("--methods", FAKE)
    given = ("run", "--suite", suite, *methods, "--out", "run", *words)
    assert bench(*given) == ExitStatus.WRONG_INPUT
    assert line in only_line(capsys)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("samples = 2", "sampels = 2", "unknown key 'sampels'; did you mean 'samples'?"),
        ("samples = 2", "samples = 0", "samples = 0; expected at least 1"),
        ("samples = 2", 'samples = "two"', "samples = 'two'; expected an integer"),
        ('"portrait"', '"portraits"', "unknown prompt set 'portraits'; did you mean 'portrait'?"),
        (
            '"red-shirt"',
            '"red-skirt"',
            "unknown prompt 'red-skirt' in the set 'portrait'; did you mean 'red-shirt'?",
        ),
        ('kind = "folder"', 'kind = "folders"', "unknown kind 'folders'; did you mean 'folder'?"),
        ("references = 2", "references = 3", "5 photos, 3 references and 3 held-out ones need 6"),
        ("fake_metrics:Gap", "identety@sface", "unknown metric 'identety@sface'"),
        ('path = "people"', 'path = "nobody"', "no such folder"),
        ("samples = 2", "samples =", "not TOML"),
        ("batch = 4", "bathc = 4", "backbone: unknown key 'bathc'; did you mean 'batch'?"),
        ("batch = 4", 'dtype = "fp8"', "backbone: dtype = 'fp8'; known are bf16, fp16, fp32"),
        ("recaptions = 1", "recaptions = 9", "recaptions = 9, ada has 3 held-out photos"),
    ],
)
def test_a_wrong_suite_is_refused_in_one_line(
    before: str, after: str, line: str, bench: Bench, suite: Path, capsys: Captured
) -> None:
    suite.write_text(suite.read_text().replace(before, after))
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.WRONG_INPUT
    assert line in only_line(capsys)


def test_an_unknown_suite_is_answered_with_the_nearest(bench: Bench, capsys: Captured) -> None:
    assert bench("run", "--suite", "tinny") == ExitStatus.WRONG_INPUT
    assert "did you mean 'tiny'?" in only_line(capsys)


def test_a_report_without_a_run_says_how_to_get_one(bench: Bench, capsys: Captured) -> None:
    assert bench("report") == ExitStatus.WRONG_INPUT
    assert "make one with `bench run`" in only_line(capsys)


def test_a_dry_run_prints_the_cells_and_writes_nothing(
    bench: Bench, suite: Path, capsys: Captured, golden: Callable[[str, str], None]
) -> None:
    assert bench("run", "--suite", suite, "--methods", f"text-only,{FAKE}", "--out", "run", "--dry-run") == 0
    golden("plan.txt", capsys.readouterr().out)
    assert not Path("run").exists()
