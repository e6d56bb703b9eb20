"""The fuzz script: a few damaged inputs of every kind are read or refused in one line."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "results" / "scripts"


def test_damaged_inputs_are_read_or_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import fuzz_inputs

    fuzz_inputs.main(["--count", "8"])
    output = capsys.readouterr()
    assert output.err == ""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["captions", "celeba", "dreambench", "suites", "photographs"]
    for _, count, read, refused, *wrong in rows:
        assert int(read) + int(refused) == int(count) == 8
        assert wrong == ["0", "0", "0"]
    sys.modules.pop("fuzz_inputs")
