"""The text of `bench compare`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_run import write_run
from known_run import known_run

from bench.report.run_comparison import run_comparison


def changed_run(by: float) -> Any:
    """The known run with other scores of `tuned` by sface."""
    run = known_run()
    rows = tuple(
        replace(row, value=row.value + by)
        if (row.method, row.encoder) == ("tuned", "sface") and row.value is not None
        else row
        for row in run.scores
    )
    return replace(run, scores=rows)


def test_differences_have_a_verdict_and_the_mark_of_their_overlap() -> None:
    text = run_comparison(known_run(), changed_run(0.1))
    section = text.partition("identity (sface) ↑:\n\n")[2].partition("\n\n")[0]
    lines = {line.split("|")[1].strip(): line for line in section.splitlines()}
    assert "| 0.100 [" in lines["tuned"]
    assert "above" in lines["tuned"]
    assert "| 0.000 [" in lines["close"]
    assert "†" in lines["leaky"]


def test_people_and_methods_of_one_run_only_are_named() -> None:
    run = known_run()
    fewer = replace(run, cells=tuple(c for c in run.cells if c.method != "close"))
    assert "* methods of the first run only: close" in run_comparison(run, fewer)


def test_command_compares_folders_and_refuses_in_one_line(
    bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, run in (("one", known_run()), ("other", changed_run(0.1))):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, run)
    assert bench("compare", "one", "other") == 0
    assert capsys.readouterr().out.startswith("# Comparison of two runs\n")
    (tmp_path / "third").mkdir()
    stranger = replace(known_run(), cells=tuple(replace(c, method="x") for c in known_run().cells[:18]))
    write_run(tmp_path / "third", replace(stranger, scores=(), sets=(), fits=()))
    assert bench("compare", "one", "third") == 2
    assert "cannot be compared: no common method" in capsys.readouterr().err
