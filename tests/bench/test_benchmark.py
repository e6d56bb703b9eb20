"""`bench run` and `bench report`, end to end, with a method that needs no backbone."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.errors import ExitStatus
from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder

FAKE = "fake_method:FakeMethod"
Bench = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def images(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted((run / "images").rglob("*.png"))}


def with_settings(suite: Path, settings: str) -> Path:
    """The suite with settings of the fake method."""
    suite.write_text(suite.read_text() + f'\n[methods."{FAKE}"]\n{settings}\n')
    return suite


def error_line(captured: Captured) -> str:
    """The only line on stderr."""
    lines = captured.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_run_generates_all_cells_and_prints_the_table(bench: Bench, suite: Path, capsys: Captured) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.DONE
    assert len(images(Path("run"))) == 3 * 3 * 2
    printed = capsys.readouterr().out
    assert "identity (fake-eye)" in printed
    assert "real (same person)" in printed
    for name in ("suite.toml", "run.json", "cells.csv", "fits.csv", "scores.csv", "report.md", "grid.png"):
        assert Path("run", name).stat().st_size > 0, name


def test_second_run_generates_only_missing_images(bench: Bench, suite: Path, run_folder: Path) -> None:
    before = images(run_folder)
    removed = run_folder / sorted(before)[5]
    removed.unlink()
    times = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*.png") if path.name != "grid.png"}
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", run_folder) == 0
    assert images(run_folder) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_image_is_independent_of_the_selected_cells(bench: Bench, suite: Path, run_folder: Path) -> None:
    arguments = ("run", "--suite", suite, "--methods", FAKE, "--out", "part", "--only", "*/bob/red-shirt/s2")
    assert bench(*arguments) == 0
    part = images(Path("part"))
    assert len(part) == 1
    assert part.items() <= images(run_folder).items()


def test_method_receives_the_slot_and_metric_the_noun(run_folder: Path) -> None:
    from fake_method import read_stamp

    path = run_folder / "images" / FAKE.replace(":", "+") / "ada" / "red-shirt.s1.png"
    with Image.open(path) as image:
        assert "a photo of {subject}, wearing a red shirt" in read_stamp(image)
    scores = (run_folder / "scores.csv").read_text().splitlines()
    fields = [
        line.split(",") for line in scores if line.startswith(f"{FAKE},ada,red-shirt,") and ",length," in line
    ]
    assert [line[7] for line in fields] == [str(float(len("a photo of a woman, wearing a red shirt")))] * 2


def test_time_in_run_json_is_that_of_the_last_new_image(bench: Bench, suite: Path, run_folder: Path) -> None:
    def ended() -> datetime:
        return datetime.fromisoformat(json.loads((run_folder / "run.json").read_text())["ended"])

    first = ended()
    assert datetime.now(UTC) - timedelta(minutes=5) < first <= datetime.now(UTC)
    content = json.loads((run_folder / "run.json").read_text())
    (run_folder / "run.json").write_text(json.dumps({**content, "ended": "2020-01-01T00:00:00+00:00"}))
    again = ("run", "--suite", suite, "--methods", FAKE, "--out", run_folder)
    assert bench(*again) == ExitStatus.DONE
    assert ended().year == 2020
    next(run_folder.rglob("red-shirt.s1.png")).unlink()
    assert bench(*again) == ExitStatus.DONE
    assert ended() >= first


def test_failed_cell_is_reported_with_its_reason_and_the_others_continue(
    bench: Bench, suite: Path, capsys: Captured
) -> None:
    with_settings(suite, 'fails_on = "red"')
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.SOME_FAILED
    assert len(images(Path("run"))) == 3 * 2 * 2
    assert "cannot generate 'a photo of {subject}, wearing a red shirt'" in capsys.readouterr().out
    failed = Path("run", "images", FAKE.replace(":", "+"), "ada", "red-shirt.s1.failed.json")
    assert "Traceback" in json.loads(failed.read_text())["traceback"]
    report = Path("run", "report.md").read_text()
    assert "(12 of 18)" in report
    assert "6 cells: failed: cannot generate" in report


def test_failed_cell_is_generated_again(bench: Bench, suite: Path) -> None:
    plain = suite.read_text()
    with_settings(suite, 'fails_on = "red"')
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.SOME_FAILED
    suite.write_text(plain)
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run", "--overwrite") == ExitStatus.DONE
    assert not list(Path("run").rglob("*.failed.json"))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [("needs = 9", "2 photos, fake needs 9"), ("fit_fails = true", "RuntimeError: the fit failed")],
)
def test_failed_fit_is_reported_with_its_reason(
    settings: str, reason: str, bench: Bench, suite: Path, capsys: Captured
) -> None:
    with_settings(suite, settings)
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.SOME_FAILED
    assert reason in capsys.readouterr().out


def test_batch_with_too_few_images_is_generated_one_by_one(
    bench: Bench, suite: Path, capsys: Captured
) -> None:
    arguments = ("run", "--suite", suite, "--methods", "fake_method:ReturnsOneImage", "--out", "run")
    # A single request gets a single image, so all cells are generated in the end.
    assert bench(*arguments, "--only", "*/ada/*") == ExitStatus.DONE
    assert "identity" in capsys.readouterr().out


def test_images_with_another_fingerprint_are_not_overwritten(
    bench: Bench, suite: Path, capsys: Captured
) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == 0
    before = images(Path("run"))
    with_settings(suite, "pause = 0.001")
    capsys.readouterr()
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.WRONG_INPUT
    line = error_line(capsys)
    assert "setting pause: 0.0 / 0.001" in line
    assert "--overwrite" in line
    assert images(Path("run")) == before
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run", "--overwrite") == 0
    assert images(Path("run")) != before


def test_methods_of_earlier_runs_stay_in_the_table(bench: Bench, suite: Path, capsys: Captured) -> None:
    suite.write_text(suite.read_text() + f'\n[methods.other]\nbase = "{FAKE}"\npause = 0.001\n')
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == 0
    capsys.readouterr()
    assert bench("run", "--suite", suite, "--methods", "other", "--out", "run") == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| fake", "| other"))]
    assert any(line.startswith("| fake_method") for line in rows)
    assert any(line.startswith("| other") for line in rows)


def test_another_seed_uses_another_folder(bench: Bench, suite: Path) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE) == 0
    assert bench("run", "--suite", suite, "--methods", FAKE, "--seed", 7) == 0
    one, other = images(Path("results/fake")), images(Path("results/fake-seed7"))
    assert one.keys() == other.keys()
    assert not {*one.values()} & {*other.values()}


def test_report_uses_the_latest_run(bench: Bench, suite: Path, capsys: Captured) -> None:
    assert bench("run", "--suite", suite, "--methods", FAKE) == 0
    capsys.readouterr()
    assert bench("report") == 0
    assert capsys.readouterr().out == Path("results/fake/report.md").read_text()
    assert bench("report", "results/fake", "--format", "json", "--output", "fake.json") == 0
    assert json.loads(Path("fake.json").read_text())["scores"][0]["metric"] == "identity"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--methods", "dreamboth-lora"), "did you mean 'dreambooth-lora'?"),
        (("--methods", "nowhere:Method"), "cannot load nowhere:Method"),
        (("--methods", ","), "--methods names no method"),
        (("--only", "*/nobody/*"), "matches none of 18 cells"),
        (("--executor", "cluster"), "unknown executor 'cluster'"),
        (("--cells",), "--cells prints the ids of a dry run and needs --dry-run"),
        (("--cache", "c", "--no-cache"), "--cache c and --no-cache contradict each other"),
    ],
)
def test_invalid_options_are_refused_in_one_line(
    arguments: tuple[str, ...], line: str, bench: Bench, suite: Path, capsys: Captured
) -> None:
    methods = () if "--methods" in arguments else ("--methods", FAKE)
    all_arguments = ("run", "--suite", suite, *methods, "--out", "run", *arguments)
    assert bench(*all_arguments) == ExitStatus.WRONG_INPUT
    assert line in error_line(capsys)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("samples = 2", "sampels = 2", "unknown key 'sampels'; did you mean 'samples'?"),
        ("samples = 2", "samples = 0", "samples = 0; expected a number from 1 to 1,000,000"),
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
        ("batch = 4", 'dtype = "fp8"', "backbone: dtype = 'fp8'; known: bf16, fp16, fp32"),
        ("recaptions = 1", "recaptions = 9", "recaptions = 9, ada has 3 held-out photos"),
        ("fake_metrics:Gap", "os:getcwd", "a str without `name` is no metric"),
        ("fake_metrics:Gap", "json:dumps", "metric 'json:dumps': cannot be built"),
        ("fake_metrics:Gap", ":Gap", "cannot load :Gap"),
        ("fake_metrics:Gap", "broken_module:Gap", "cannot load broken_module:Gap (NameError"),
        ("fake_metrics:Gap", "fake_metrics:Length", "'fake_metrics:Length' is named twice"),
        ("samples = 2", "samples = 1000000", "asks for 9,000,000 images, at most 2,000,000 are planned"),
        (
            "[backbone]",
            '[[prompts.custom]]\nid = "recaption-1"\ntemplate = "{subject} here"\n[backbone]',
            "two prompts have the id 'recaption-1'; rename the custom one",
        ),
        (
            "recaptions = 1",
            'priors = 1\n[[prompts.custom]]\nid = "prior"\ntemplate = "{subject} here"\n',
            "two prompts have the id 'prior'",
        ),
    ],
)
def test_invalid_suite_is_refused_in_one_line(
    before: str, after: str, line: str, bench: Bench, suite: Path, capsys: Captured
) -> None:
    suite.write_text(suite.read_text().replace(before, after))
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", "run") == ExitStatus.WRONG_INPUT
    assert line in error_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--seed", "-1"), "--seed = -1; expected a number from 0"),
        (("--methods", "nonsense", "--dry-run"), "unknown method 'nonsense'"),
        (("--methods", "os:system"), "os:system is no dataclass"),
        (("--methods", "fake_method:OneImage"), "fake_method:OneImage is no dataclass"),
        (("--methods", ":Fast"), "cannot load :Fast (ValueError"),
        (("--methods", "..:X"), "cannot load ..:X"),
        (("--methods", "broken_module:Method"), "cannot load broken_module:Method (NameError"),
        (("--methods", "."), "'.' cannot be the name of a row"),
        (("--methods", ".."), "'..' cannot be the name of a row"),
        (("--methods", "fake_method:FakeMethod,fake_method+FakeMethod"), "would share a folder"),
    ],
)
def test_invalid_option_is_refused_before_anything_is_written(
    arguments: tuple[str, ...], line: str, bench: Bench, suite: Path, capsys: Captured
) -> None:
    assert (
        bench("run", "--suite", suite, "--methods", FAKE, "--out", "run", *arguments)
        == ExitStatus.WRONG_INPUT
    )
    assert line in error_line(capsys)
    assert not Path("run/images").exists()


def test_unknown_suite_is_refused_with_the_nearest_name(bench: Bench, capsys: Captured) -> None:
    assert bench("run", "--suite", "tinny") == ExitStatus.WRONG_INPUT
    assert "did you mean 'tiny'?" in error_line(capsys)


def test_report_without_a_run_is_refused_with_a_remedy(bench: Bench, capsys: Captured) -> None:
    assert bench("report") == ExitStatus.WRONG_INPUT
    assert "make one with `bench run`" in error_line(capsys)


def test_dry_run_prints_the_cells_and_writes_nothing(
    bench: Bench, suite: Path, capsys: Captured, golden: Callable[[str, str], None]
) -> None:
    words = ("run", "--suite", suite, "--methods", f"text-only,{FAKE}", "--out", "run", "--dry-run")
    assert bench(*words, "--cells") == 0
    golden("plan.txt", capsys.readouterr().out)
    assert not Path("run").exists()


def test_exit_status_is_0_only_if_every_image_is_there(
    bench: Bench, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images of bob disappear, as if the run folder was renamed during the run."""
    save = RunFolder.save

    def lossy(self: RunFolder, cell: Cell, *content: Any) -> None:
        if cell.identity != "bob":
            save(self, cell, *content)

    monkeypatch.setattr(RunFolder, "save", lossy)
    arguments = ("run", "--suite", suite, "--methods", FAKE, "--out", "run")
    assert bench(*arguments) == ExitStatus.SOME_FAILED


def test_damaged_image_is_generated_again(run_folder: Path, bench: Bench, suite: Path) -> None:
    image = sorted((run_folder / "images").rglob("*.png"))[0]
    before = image.read_bytes()
    damaged = bytearray(before)
    damaged[len(damaged) // 2] ^= 0x40
    image.write_bytes(damaged)
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", run_folder) == ExitStatus.DONE
    assert image.read_bytes() == before


def test_report_of_an_interrupted_second_run_is_refused_until_it_is_finished(
    run_folder: Path, bench: Bench, suite: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are those of the first run, and some images those of the second."""
    saved: list[str] = []
    save = RunFolder.save

    def interrupted(self: RunFolder, cell: Cell, *content: Any) -> None:
        save(self, cell, *content)
        saved.append(cell.id)
        if len(saved) == 3:
            raise KeyboardInterrupt

    again = ("run", "--suite", suite, "--methods", FAKE, "--out", run_folder, "--overwrite")
    monkeypatch.setattr(RunFolder, "save", interrupted)
    assert bench(*again) == 130
    capsys.readouterr()
    assert bench("report", run_folder) == ExitStatus.WRONG_INPUT
    assert "has not ended; finish it with `bench run`" in error_line(capsys)
    monkeypatch.setattr(RunFolder, "save", save)
    assert bench(*again) == ExitStatus.DONE
    assert bench("report", run_folder) == ExitStatus.DONE


def test_records_with_unexpected_content_end_no_run(
    run_folder: Path, bench: Bench, suite: Path, capsys: Captured
) -> None:
    again = ("run", "--suite", suite, "--methods", FAKE, "--out", run_folder)
    image, other, *_ = sorted((run_folder / "images").rglob("*.png"))
    image.with_suffix(".json").write_text('{"seconds": NaN, "memory_mb": "x", "flaw": 3}')
    (run_folder / "fits" / FAKE.replace(":", "+") / "bob.json").write_text('{"bytes": "x", "seconds": []}')
    other.unlink()
    fingerprint = json.loads(other.with_suffix(".json").read_text())
    other.with_suffix(".failed.json").write_text(json.dumps({"fingerprint": fingerprint}))
    assert bench(*again) == ExitStatus.DONE
    image.with_suffix(".json").write_text('{"fingerprint_parts": []}')
    with_settings(suite, "pause = 0.001")
    capsys.readouterr()
    assert bench(*again) == ExitStatus.WRONG_INPUT
    assert "what they depend on was not recorded" in error_line(capsys)
