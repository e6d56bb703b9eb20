"""The texts of `bench leaderboard`."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from fake_run import cell, column, finished_run, scores, write_run
from jsonschema import validate
from split_run import FIRST, part, two_parts

from bench.analysis.across_runs.leaderboard import leaderboard
from bench.markdown import number
from bench.report.leaderboard import as_csv, as_json, as_markdown
from bench.runs.finished_run import FinishedRun


def test_rows_have_run_date_and_the_numbers_of_csv_and_json() -> None:
    board = leaderboard(two_parts())
    lines = list(csv.DictReader(io.StringIO(as_csv(board))))
    records = json.loads(as_json(board))["scores"]
    assert lines == [{k: "" if v is None else str(v) for k, v in record.items()} for record in records]
    text = as_markdown(board)
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    for record in records:
        if record["value"] is not None and record["run"]:
            day = {"one": "2026-01-02", "two": "2026-03-04"}[record["run"]]
            mean = number(record["value"], record["low"], record["high"])
            own = [row for row in rows if row[1:4] == [record["method"], record["run"], day]]
            assert any(cell.startswith(mean) for row in own for cell in row), record
    assert "| one | 2026-01-02 | 0123456789ab" in text


def test_json_follows_its_schema() -> None:
    text = files("bench.report.formats").joinpath("leaderboard.schema.json").read_text("utf-8")
    for runs in (two_parts(), [part(Path("one"), FIRST), part(Path("two"), FIRST)]):
        content = json.loads(as_json(leaderboard(runs)))
        assert content["scores"]
        assert content["contrasts"]
        validate(content, json.loads(text))


def test_repeated_methods_and_left_out_metrics_are_said() -> None:
    one, two = part(Path("one"), FIRST), part(Path("two"), FIRST)
    text = as_markdown(leaderboard([one, two]))
    assert "* in several runs, and named after each: text-only, tuned" in text
    assert "| unknown |" in text


def test_backbones_may_differ_and_are_told_apart() -> None:
    def on_backbone(run: FinishedRun, digest: str, steps: str) -> FinishedRun:
        parts = {"backbone unet": digest, "sampling steps": steps}
        cells = tuple(replace(row, run_fingerprint=digest) for row in run.cells)
        return replace(run, cells=cells, manifest=replace(run.manifest, fingerprints={digest: parts}))

    one, two = two_parts()
    text = as_markdown(leaderboard([on_backbone(one, "abc", "12"), on_backbone(two, "def", "28")]))
    assert "* two differs from one in sampling steps: 12 / 28" in text
    lines = text.partition("## Runs")[2].splitlines()
    backbones = {line.split("|")[4].strip() for line in lines if line.startswith(("| one ", "| two "))}
    assert len(backbones) == 2


def test_floors_of_two_runs_are_not_methods_without_effect() -> None:
    disruption = column("disruption", "eye", better="neither")
    cells = [cell("text-only", who, f"p{i}") for who in ("ada", "bob") for i in range(2)]
    rows = [row for who in ("ada", "bob") for row in scores(disruption, "text-only", who, [0.0, 0.0])]
    about = {"text-only": {"role": "floor"}}
    one, two = (
        replace(finished_run([disruption], cells, rows, methods=about), path=Path(name))
        for name in ("one", "two")
    )
    assert "NO EFFECT" not in as_markdown(leaderboard([one, two]))


def test_command_writes_a_file_and_refuses_in_one_line(
    bench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in two_parts(tmp_path):
        run.path.mkdir()
        write_run(run.path, run)
    assert bench("leaderboard", "one", "two", "--format", "json", "--output", "board.json") == 0
    assert set(json.loads(Path("board.json").read_text())["runs"]) == {"one", "two"}
    assert bench("leaderboard", "one", "none") == 2
    error = capsys.readouterr().err
    assert "none: no such run folder" in error
    assert len(error.splitlines()) == 1
