"""`bench score` scores a run folder without a backbone or a method."""

import json
import shutil
from pathlib import Path

import pytest

from bench.errors import ExitStatus
from bench.runs.finished_run import read_run
from bench.runs.records.table_digests import OF_RUN, table_digests

TABLES = ("scores.csv", "sets.csv", "metrics.json")


def test_scores_are_those_of_the_run_and_nothing_is_generated(
    run_folder: Path, bench, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: (run_folder / name).read_bytes() for name in TABLES}
    report = (run_folder / "report.md").read_text()
    for name in TABLES:
        (run_folder / name).unlink()
    shutil.rmtree(run_folder / "fits")
    assert bench("score", run_folder) == ExitStatus.DONE
    assert {name: (run_folder / name).read_bytes() for name in TABLES} == before
    assert (run_folder / "report.md").read_text() == report
    assert "fake_method:FakeMethod" in capsys.readouterr().out
    assert not (run_folder / "fits").exists()


def test_run_can_be_scored_without_its_method(run_folder: Path, bench) -> None:
    cells = (run_folder / "cells.csv").read_text()
    (run_folder / "cells.csv").write_text(cells.replace("fake_method:FakeMethod", "missing_module:Missing"))
    manifest = json.loads((run_folder / "run.json").read_text())
    manifest["tables"] = table_digests(run_folder, OF_RUN)
    (run_folder / "run.json").write_text(json.dumps(manifest))
    (run_folder / "images" / "fake_method+FakeMethod").rename(
        run_folder / "images" / "missing_module+Missing"
    )
    assert bench("score", run_folder) == ExitStatus.DONE
    assert read_run(run_folder).methods == ["missing_module:Missing"]


def test_unfinished_run_is_not_scored(run_folder: Path, bench, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((run_folder / "run.json").read_text())
    (run_folder / "run.json").write_text(json.dumps({**manifest, "tables": {}}))
    assert bench("score", run_folder) == ExitStatus.WRONG_INPUT
    assert "has not ended; finish it with `bench run`" in capsys.readouterr().err


def test_damaged_scores_are_computed_again(run_folder: Path, bench) -> None:
    before = {name: (run_folder / name).read_bytes() for name in TABLES}
    lines = before["scores.csv"].splitlines(keepends=True)
    (run_folder / "scores.csv").write_bytes(b"".join(lines[:-1]))
    assert bench("score", run_folder) == ExitStatus.DONE
    assert {name: (run_folder / name).read_bytes() for name in TABLES} == before


def test_image_that_cannot_be_read_is_named_in_one_line(
    run_folder: Path, bench, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sorted((run_folder / "images").rglob("*.png"))[0]
    image.write_bytes(image.read_bytes()[:200])
    assert bench("score", run_folder, "--overwrite") == ExitStatus.WRONG_INPUT
    assert f"{image}: the image cannot be read" in capsys.readouterr().err


def test_another_suite_adds_metrics(run_folder: Path, bench, suite: Path) -> None:
    text = suite.read_text().replace(', "fake_metrics:Gap"]', "]")
    (suite.parent / "fewer.toml").write_text(text)
    assert bench("score", run_folder, "--suite", suite.parent / "fewer.toml") == ExitStatus.DONE
    fewer = json.loads((run_folder / "metrics.json").read_text())["metrics"]
    assert bench("score", run_folder, "--suite", suite) == ExitStatus.DONE
    more = json.loads((run_folder / "metrics.json").read_text())["metrics"]
    assert set(more) - set(fewer) == {"gap (fake-eye)"}
    assert len(read_run(run_folder).manifest.fingerprints) == 4


def test_metrics_are_added_and_remain(run_folder: Path, bench, suite: Path) -> None:
    def columns() -> list[str]:
        return list(json.loads((run_folder / "metrics.json").read_text())["metrics"])

    before, scores = columns(), (run_folder / "scores.csv").read_text().splitlines()
    added = "fake_metrics:Faces,is-uniform@efficientnet-lite0"
    assert bench("score", run_folder, "--metrics", added) == ExitStatus.DONE
    assert set(columns()) - set(before) == {"faces (fake-eye)", "is-uniform (efficientnet-lite0)"}
    assert set(scores) <= set((run_folder / "scores.csv").read_text().splitlines())
    assert "faces (fake-eye)" in (run_folder / "report.md").read_text()
    more = columns()
    assert bench("score", run_folder) == ExitStatus.DONE
    assert columns() == more
    arguments = ("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", run_folder)
    assert bench(*arguments) == ExitStatus.DONE
    assert columns() == more
    assert bench("score", run_folder, "--suite", suite) == ExitStatus.DONE
    assert columns() == before


def test_unknown_metric_is_refused_and_the_scores_are_kept(run_folder: Path, bench, capsys) -> None:
    before = {name: (run_folder / name).read_bytes() for name in TABLES}
    assert bench("score", run_folder, "--metrics", "identity@sfac") == ExitStatus.WRONG_INPUT
    assert "unknown metric 'identity@sfac'; did you mean 'identity@sface'?" in capsys.readouterr().err
    assert {name: (run_folder / name).read_bytes() for name in TABLES} == before


def test_suite_with_other_prompts_is_refused(
    run_folder: Path, bench, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (suite.parent / "other.toml").write_text(suite.read_text().replace('"blue-background", ', ""))
    arguments = ("score", run_folder, "--suite", suite.parent / "other.toml", "--overwrite")
    assert bench(*arguments) == ExitStatus.WRONG_INPUT
    error = capsys.readouterr().err
    assert "identity 'ada' has no prompt 'blue-background' in suite 'fake'" in error


def test_folder_that_is_no_run_is_refused(tmp_path: Path, bench, capsys) -> None:
    assert bench("score", tmp_path) == ExitStatus.WRONG_INPUT
    assert "not a run folder (run.json is missing)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
