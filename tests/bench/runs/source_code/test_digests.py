"""Digests of a class's code ignore comments, docstrings, layout and module."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.runs.source_code.digests import definition_digests

ROOT = Path(__file__).parents[4]
METHOD = """
from dataclasses import dataclass

from {name}.part import weight
from {name} import tables


@dataclass(frozen=True)
class Mine:
    steps: int = 3

    def fit(self, x: float) -> float:
        return weight(x) + tables.OFFSET
"""
PART = """
import math


def weight(x: float) -> float:
    return scaled(x) * math.pi


def scaled(x: float) -> float:
    return x + 1


def unused(x: float) -> float:
    return x
"""
Write = Callable[[str, str], dict[str, str]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    """Write a module of a package and return the digests of its class."""
    name = f"package_{abs(hash(request.node.nodeid))}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / name).mkdir()

    def write(module: str, text: str) -> dict[str, str]:
        (tmp_path / name / f"{module}.py").write_text(text.replace("{name}", name))
        return definition_digests(f"{name}.method", "Mine")

    for module, text in (("__init__", ""), ("tables", "OFFSET = 1\nOTHER = 2\n"), ("part", PART)):
        write(module, text)
    write("method", METHOD)
    return write


def test_exactly_the_definitions_that_the_class_reaches_are_hashed(write: Write) -> None:
    assert set(write("method", METHOD)) == {"Mine", "weight", "scaled", "OFFSET"}


def test_comments_docstrings_and_layout_change_no_digest(write: Write) -> None:
    before = write("part", PART)
    documented = PART.replace(
        "    return scaled", '    """Weigh x.\n\n    A lot."""\n    # why\n    return  scaled'
    )
    assert write("part", '"""A module."""\n' + documented + "\n\n# the end\n") == before
    attribute = METHOD.replace(
        "    steps: int = 3", '    """Mine."""\n\n    steps: int = 3\n    """How many."""'
    )
    assert write("method", attribute) == before


def test_moving_a_function_to_another_module_changes_no_digest(write: Write) -> None:
    before = write("part", PART)
    function = PART[PART.index("def scaled") : PART.index("def unused")]
    write("elsewhere", function)
    assert write("part", "from {name}.elsewhere import scaled\n" + PART.replace(function, "")) == before


def test_moving_the_class_changes_no_digest(write: Write) -> None:
    before = write("method", METHOD)
    write("other", METHOD)
    assert write("method", "from {name}.other import Mine\n") == before


@pytest.mark.parametrize(
    ("module", "text", "changed"),
    [
        ("part", PART.replace("x + 1", "x - 1"), {"scaled"}),
        ("part", PART.replace("math.pi", "math.e"), {"weight"}),
        ("part", PART.replace("import math", "import cmath as math"), {"weight"}),
        ("tables", "OFFSET = 2\nOTHER = 2\n", {"OFFSET"}),
        ("method", METHOD.replace("= 3", "= 4"), {"Mine"}),
        ("tables", "OFFSET = 1\nOTHER = 3\n", set()),
        ("part", PART.replace("    return x\n", "    return -x\n"), set()),
    ],
)
def test_changed_operator_or_constant_changes_only_its_definition(
    write: Write, module: str, text: str, changed: set[str]
) -> None:
    before = write("method", METHOD)
    after = write(module, text)
    assert {name for name in after if after[name] != before[name]} == changed
    assert set(after) == set(before)


def test_top_level_call_is_part_of_every_definition_of_its_module(write: Write) -> None:
    before = write("part", PART)
    assert write("part", PART + "\nprint(1)\n")["weight"] != before["weight"]


def test_shipped_method_reaches_the_backbone_without_importing_torch() -> None:
    code = (
        "import sys; from bench.runs.source_code.digests import definition_digests as digests; "
        "print(*digests('methods.baselines.photo_copy', 'PhotoCopy')); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    names, imported = done.stdout.splitlines()
    assert {"PhotoCopy", "Backbone", "to_pil_images"} <= set(names.split())
    assert imported == "False"
