"""Runs for the tests of the page."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_names import CAPTION, NAME
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare


@pytest.fixture
def table() -> ComparisonTable:
    """Six people with known numbers, without images."""
    return compare(known_run())


@pytest.fixture
def hostile_run(bench: Callable[..., int], suite: Path, people: Path) -> Path:
    """A run with images, of which one person's name and all captions are HTML."""
    (people / "ada").rename(people / NAME)
    for caption in people.glob("*/*.txt"):
        caption.write_text(f"a photo of {{subject}} {CAPTION}")
    out = suite.parent / "hostile"
    assert bench("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", out) == 0
    return out
