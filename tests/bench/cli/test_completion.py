"""What a shell completes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_run import write_run
from known_run import known_run
from typer.testing import CliRunner

from bench.cli.main import app


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """The proposals of bash for the last word of a line, in a folder with the run `results/known`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "known").mkdir(parents=True)
    write_run(tmp_path / "results" / "known", known_run())
    (tmp_path / "results" / "unfinished").mkdir()

    def call(line: str) -> list[str]:
        words = line.split(" ")
        environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        done = CliRunner().invoke(
            app, [], env={"_BENCH_COMPLETE": "complete_bash", **environment}, prog_name="bench"
        )
        assert done.exit_code == 0, done.output
        return done.output.split()

    return call


@pytest.mark.parametrize(
    ("line", "proposals"),
    [
        ("bench rep", ["report"]),
        ("bench run --methods dreambooth", ["dreambooth-lora"]),
        ("bench run --methods all,photo", ["all,photo-copy"]),
        ("bench run --suite smo", ["smoke"]),
        ("bench score --metrics fid@inception-v3,detected@y", ["fid@inception-v3,detected@yunet"]),
        ("bench report ", ["results/known"]),
        ("bench report else", []),
        ("bench compare results/known re", ["results/known"]),
        ("bench plot a.svg --y identity@sf", ["identity@sface"]),
        ("bench plot a.svg --run results/known --y multi", ["multi-face@eye"]),
        ("bench plot a.svg --run results/unfinished --y multi", []),
        ("bench data cel", ["celeba"]),
        ("bench report --format scores-c", ["scores-csv"]),
    ],
)
def test_proposals(line: str, proposals: list[str], complete: Callable[[str], list[str]]) -> None:
    assert complete(line) == proposals


def test_script_of_the_shell_is_printed() -> None:
    done = CliRunner().invoke(app, [], env={"_BENCH_COMPLETE": "source_bash"}, prog_name="bench")
    assert "complete -o default -F _bench_completion bench" in done.output
