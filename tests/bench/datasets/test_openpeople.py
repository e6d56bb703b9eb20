"""OpenPeople's sheets: detection of the frames, and the package itself if it is installed."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bench.datasets.openpeople import EXPRESSIONS, OpenPeople, cells
from bench.datasets.registry import open_people
from bench.errors import DatasetError
from bench.suite.suite import DatasetSettings

GREY = (125, 125, 122)
CELL = (480, 300)


def draw_sheet(path: Path, rows: int, left: int, top: int) -> None:
    """Write a sheet of framed cells with different colours, white shirts and captions."""
    sheet = Image.new("RGB", (2400, 1792), GREY)
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top - 20), "FACE EMOTIONS", fill="white", font_size=16)
    for row in range(rows):
        for column in range(4):
            x, y = left + column * 560, top + row * 400
            box = (x, y, x + CELL[0], y + CELL[1])
            pen.rectangle(box, fill=(40 + 50 * column, 20 + 50 * row, 90), outline="white", width=8)
            pen.rectangle((x + 60, y + 220, x + 420, y + CELL[1]), fill="white")
            pen.text((x + 150, y + CELL[1] + 20), "Neutral", fill="white", font_size=40)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=92)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two people in the package's layout."""
    for number, (left, top) in {1: (97, 111), 2: (40, 61)}.items():
        person = tmp_path / "curated" / f"P{number:03d}"
        draw_sheet(person / "assets" / "emotions_sheet.jpg", 4, left, top)
        draw_sheet(person / "assets" / "character_sheet.jpg", 2, left, top)
        Image.new("RGB", (300, 300), (number, 0, 0)).save(person / "assets" / "studio_portrait.jpg")
        Image.new("RGB", (200, 300), (number, 0, 9)).save(person / "assets" / "amateur_selfie.jpg")
        about = {"character_details": {"demographics": {"sex": "female", "age_range": "35-45"}}}
        (person / "metadata.json").write_text(json.dumps(about))
    return tmp_path / "curated"


def test_crops_are_inside_the_frames(root: Path) -> None:
    for path, left, top in (("P001", 97, 111), ("P002", 40, 61)):
        boxes = cells(root / path / "assets" / "emotions_sheet.jpg", rows=4)
        assert len(boxes) == 16
        for number, box in enumerate(boxes):
            x, y = left + number % 4 * 560, top + number // 4 * 400
            assert x + 8 <= box.left < box.right <= x + CELL[0] - 7
            assert y + 8 <= box.top < box.bottom <= y + CELL[1] - 7
            assert box.right - box.left == box.bottom - box.top > CELL[1] - 45
            assert abs((box.left + box.right) / 2 - (x + CELL[0] / 2)) <= 4


def test_a_person_has_21_photos_with_captions(root: Path) -> None:
    people = open_people(DatasetSettings("openpeople", str(root)), Path()).chosen
    assert [(who.id, who.noun, who.attributes["age_range"]) for who in people] == [
        ("p001", "woman", "35-45"),
        ("p002", "woman", "35-45"),
    ]
    for who in people:
        photos = (*who.references, *who.held_out)
        assert len(photos) == 21
        assert sum("expression" in photo.attributes for photo in photos) == len(EXPRESSIONS) == 16
        assert all(photo.caption.count("{subject}") == 1 for photo in photos)
        assert all(photo.load().width == photo.load().height for photo in photos)


def test_captions_match_the_cells(root: Path) -> None:
    dataset = OpenPeople(DatasetSettings("openpeople", str(root)), Path())
    for number, photo in enumerate(dataset.photos("p001")[:16]):
        colour = np.asarray(photo.load())[40, 40]
        assert np.abs(colour.astype(int) - (40 + 50 * (number % 4), 20 + 50 * (number // 4), 90)).max() < 12
        assert list(EXPRESSIONS.values())[number] in photo.caption
    side = dataset.photos("p001")[18]
    assert np.abs(np.asarray(side.load())[40, 40].astype(int) - (190, 20, 90)).max() < 12
    assert "seen from the side" in side.caption


def remove_frames(person: Path) -> None:
    Image.new("RGB", (2400, 1792), GREY).save(person / "assets" / "emotions_sheet.jpg")


def remove_metadata(person: Path) -> None:
    (person / "metadata.json").write_text("{}")


def remove_sheet(person: Path) -> None:
    (person / "assets" / "character_sheet.jpg").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_frames, "white frames found, expected 4 x 4"),
        (remove_metadata, r"no character_details\.demographics"),
        (remove_sheet, "cannot be read"),
    ],
)
def test_unexpected_layout_is_refused(damage: Callable[[Path], None], message: str, root: Path) -> None:
    damage(root / "P001")
    with pytest.raises(DatasetError, match=message):
        open_people(DatasetSettings("openpeople", str(root)), Path())


def test_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no \*/metadata\.json"):
        OpenPeople(DatasetSettings("openpeople", str(tmp_path)), Path())


@pytest.mark.skipif(find_spec("openpeople") is not None, reason="the package is installed")
def test_missing_package_error_names_the_extra() -> None:
    with pytest.raises(DatasetError, match=r"pip install 'personabench\[openpeople\]'"):
        OpenPeople(DatasetSettings("openpeople"), Path())


@pytest.mark.skipif(find_spec("openpeople") is None, reason="needs the package openpeople")
def test_crops_of_the_installed_package_contain_no_frames() -> None:
    dataset = OpenPeople(DatasetSettings("openpeople"), Path())
    assert len(dataset.names()) == 10
    for name in dataset.names():
        photos = dataset.photos(name)
        assert len(photos) >= 20
        for photo in photos[:19]:
            pixels = np.asarray(photo.load().convert("L"), int)
            # Shirts at the bottom may be white, so only the upper half of the sides is checked.
            half = len(pixels) // 2
            rim = np.concatenate([pixels[0], pixels[:half, 0], pixels[:half, -1]])
            assert (rim > 200).mean() < 0.02, photo.name
