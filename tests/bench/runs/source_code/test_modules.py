"""Modules are parsed without being imported."""

from pathlib import Path

import pytest

from bench.runs.source_code.modules import Import, source_of

SOURCE = '''
"""A docstring."""

import math
from collections import abc as kinds
from .inner import part

LIMIT: int = 3
"""The docstring of a constant."""
try:
    import fast
except ImportError:
    fast = None

def run(x):
    """A docstring."""
    return x

raise SystemExit("this module must not be imported")
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "module_of_the_parsing_test.py"
    path.write_text(SOURCE)
    return path


def test_names_are_bound_by_definitions_and_imports(module: Path) -> None:
    found = source_of(module.stem)
    assert found is not None
    assert set(found.definitions) == {"LIMIT", "fast", "run"}
    assert found.imports["math"] == Import("math", None)
    assert found.imports["kinds"] == Import("collections", "abc")
    assert found.imports["part"] == Import("inner", "part")
    assert len(found.effects) == 1, "docstrings are no effects"


def test_an_edited_file_is_parsed_again(module: Path) -> None:
    first = source_of(module.stem)
    assert source_of(module.stem) is first
    module.write_text(f"{SOURCE}\nMORE = 1\n")
    again = source_of(module.stem)
    assert again is not None
    assert "MORE" in again.definitions


def test_a_module_without_source_is_not_found() -> None:
    assert source_of("math") is None
    assert source_of("no_such_module_at_all") is None
