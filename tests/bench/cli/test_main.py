"""The command line: help texts, lists, and no import of heavy libraries."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.commands.checks import Catalogue
from bench.cli.listing import LISTS, listing
from bench.cli.main import app

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "diffusers", "transformers", "onnxruntime", "cv2", "insightface", "pandas"}


def test_help_text_of_every_command(golden: Callable[[str, str], None]) -> None:
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    names = ("run", "report", "compare", "leaderboard", "plot", "votes", "log", "doctor", "data", "list")
    commands = ([], *([name] for name in names))
    texts = [runner.invoke(app, [*command, "--help"], prog_name="bench").output for command in commands]
    golden("help.txt", "\n".join(texts))


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["run", "--dry-run"], ["report", "--help"], ["data", "rendered"]]
)
def test_commands_without_generation_do_not_import_torch(words: list[str], tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['bench', *{words!r}]\n"
        "from bench.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_methods_that_all_does_not_have_are_marked() -> None:
    lines = {line.split()[1]: line for line in listing(["methods"]).splitlines()[2:]}
    assert [name for name, line in lines.items() if "(not in `all`)" in line] == ["ti-lora"]
    assert "(requires a path; not in `all`)" in lines["lora-folder"]
    assert "not in `all`" not in lines["text-only"]


def test_list_of_metrics_states_where_every_network_comes_from() -> None:
    networks = listing(["metrics"]).partition("\n\n")[2]
    cells = [re.split(r"\s*\|\s*", line) for line in networks.splitlines()]
    rows = {row[1]: row[2:6] for row in cells}
    assert rows["metric@..."] == ["on this machine", "from", "licence", "trained on"]
    assert rows["mobilefacenet"][:3] == ["yes", "ships with personabench", "Apache-2.0 and MIT"]
    assert rows["arcface"][1:3] == ["insightface's buffalo_l.zip", "non-commercial research only"]
    assert rows["clip"][0] == "set `path`"
    assert "metric@..." not in listing(["suites"])


def test_every_list_has_entries_with_descriptions() -> None:
    assert {kind.value for kind in Catalogue} == set(LISTS)
    for kind, entries in LISTS.items():
        assert all(name and about for name, about in entries()), kind
        assert entries(), kind


def test_methods_option_may_be_repeated() -> None:
    words = ["run", "--suite", "smoke", "--dry-run", "--cells"]
    words += ["--methods", "text-only", "--methods", "photo-copy"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert "text-only" in result.stdout
    assert "photo-copy" in result.stdout
