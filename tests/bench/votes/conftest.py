"""A run of three methods with images, and its people."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import write_run
from known_run import PEOPLE, known_run
from PIL import Image

from bench.runs.finished_run import FinishedRun, read_run
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity, PhotoFile


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    """The known run in a folder, with an image of its own colour for every generated cell."""
    folder = tmp_path / "run"
    folder.mkdir()
    known = known_run()
    cells = tuple(replace(cell, picture=f"{i:016x}") for i, cell in enumerate(known.cells))
    write_run(folder, replace(known, cells=cells))
    for i, cell in enumerate(cells):
        if cell.status == "generated":
            path = RunFolder(folder).image_of(cell)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 16), (i, 40 * (i // 64), 90)).save(path)
    return read_run(folder)


@pytest.fixture
def identities(tmp_path: Path) -> list[Identity]:
    """The people of the known run, with one reference photograph each."""
    found = []
    for i, who in enumerate(PEOPLE):
        path = tmp_path / f"{who}.png"
        Image.new("RGB", (16, 16), (250 - 40 * i, 200, 30)).save(path)
        photo = PhotoFile(path, "a photo of {subject}")
        found.append(Identity(who, "woman", (photo,), (photo,)))
    return found


@pytest.fixture
def suite_run(bench: Callable[..., int], suite: Path) -> Path:
    """A run of two methods by the command line."""
    suite.write_text(
        suite.read_text() + '\n[methods.marked]\nbase = "fake_method:FakeMethod"\nmark = "other"\n'
    )
    out = suite.parent / "run"
    methods = "fake_method:FakeMethod,marked"
    assert bench("run", "--suite", suite, "--methods", methods, "--out", out) == 0
    return out
