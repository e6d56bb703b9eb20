"""Runs for the tests of the page."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_run import write_run
from hostile_names import CAPTION, NAME
from known_run import PEOPLE, known_run
from PIL import Image

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity, PhotoFile


@pytest.fixture
def table() -> ComparisonTable:
    """Six people with known numbers, without images."""
    return compare(known_run())


@pytest.fixture(scope="module")
def known_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the known run, with an image of one colour for every generated cell."""
    run, folder = known_run(), tmp_path_factory.mktemp("known")
    write_run(folder, run)
    for i, cell in enumerate(cell for cell in run.cells if cell.status == "generated"):
        path = RunFolder(folder).image_of(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (i % 256, 40 * (i // 64), 90)).save(path)
    return folder


@pytest.fixture(scope="module")
def known_people(tmp_path_factory: pytest.TempPathFactory) -> list[Identity]:
    """The people of the known run, with a reference and two held-out photographs each."""
    folder, people = tmp_path_factory.mktemp("photos"), []
    for i, who in enumerate(PEOPLE):
        photos = []
        for k in range(3):
            Image.new("RGB", (32, 32), (250 - 40 * i, 200, 80 * k)).save(folder / f"{who}{k}.png")
            photos.append(PhotoFile(folder / f"{who}{k}.png", "a photo of {subject}"))
        people.append(Identity(who, "woman", tuple(photos[:1]), tuple(photos[1:])))
    return people


@pytest.fixture
def hostile_run(bench: Callable[..., int], suite: Path, people: Path) -> Path:
    """A run with images, of which one person's name and all captions are HTML."""
    (people / "ada").rename(people / NAME)
    for caption in people.glob("*/*.txt"):
        caption.write_text(f"a photo of {{subject}} {CAPTION}")
    out = suite.parent / "hostile"
    assert bench("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", out) == 0
    return out
