"""The README's own method runs, word for word."""

import re
from pathlib import Path

import pytest

from bench.cli.main import main

README = Path(__file__).parents[1] / "README.md"


def first_blocks(heading: str) -> tuple[str, str]:
    """The first python block under a heading of the README, and the first method its shell block runs."""
    section = README.read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    label = re.search(r"--methods '?([\w.]+:\w+)", section)
    assert code, f"README.md has no python block under {heading!r}"
    assert label, f"README.md runs no method under {heading!r}"
    return code[1], label[1]


@pytest.mark.slow
def test_the_method_in_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, label = first_blocks("Add a method")
    (tmp_path / f"{label.partition(':')[0]}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    words = ["run", "--suite", "smoke", "--methods", label, "--only", "*/*/*/s1", "--out", "run"]
    monkeypatch.setattr("sys.argv", ["bench", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    assert f"| {label}" in capsys.readouterr().out
    assert len(list((tmp_path / "run" / "images").rglob("*.png"))) > 1
