"""Photographs that occur twice: refused where a number would be wrong, else reported."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets.registry import open_people
from bench.errors import DatasetError
from bench.subjects.identity import Identity
from bench.subjects.photo_checks import check_others, check_people, unusable
from bench.suite.suite import DatasetSettings

SETTINGS = DatasetSettings("folder", "photos", references=2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two people with two references and three held-out photographs each, all different."""
    chosen = open_people(DatasetSettings("rendered", identities=2), Path()).chosen
    for who, name in zip(chosen, ("ada", "bob"), strict=True):
        (tmp_path / "photos" / name / "heldout").mkdir(parents=True)
        for number, photo in enumerate((*who.references, *who.held_out)[:5]):
            folder = tmp_path / "photos" / name / ("" if number < 2 else "heldout")
            photo.load().save(folder / f"{number}.png")
    return tmp_path / "photos"


def people(photos: Path) -> tuple[Identity, ...]:
    return open_people(SETTINGS, photos.parent).chosen


def write_copy(source: Path, target: Path) -> None:
    """A recompressed copy."""
    content = io.BytesIO()
    with Image.open(source) as image:
        image.save(content, "JPEG", quality=85)
    with Image.open(content) as image:
        image.save(target)


def test_different_photographs_are_accepted_without_a_remark(photos: Path) -> None:
    assert check_people(people(photos)) == []


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("ada/0.png", "ada/heldout/2.png", "are the same image, a reference and held out; remove one"),
        ("ada/heldout/2.png", "ada/heldout/3.png", "are the same image, both held out; remove one"),
        ("ada/0.png", "bob/heldout/2.png", "of ada and .*2.png of bob are the same image; remove one, or"),
        ("ada/0.png", "bob/0.png", "of ada and .*0.png of bob are the same image; remove one, or"),
        ("ada/heldout/4.png", "bob/heldout/4.png", "of ada and .*4.png of bob are the same image"),
    ],
)
def test_equal_images_that_make_a_number_wrong_are_refused(
    source: str, target: str, message: str, photos: Path
) -> None:
    with Image.open(photos / source) as image:
        image.save(photos / target, compress_level=0)
    assert (photos / source).read_bytes() != (photos / target).read_bytes()
    with pytest.raises(DatasetError, match=message):
        check_people(people(photos))


def test_a_linked_folder_is_the_same_person_under_two_ids(photos: Path) -> None:
    (photos / "ada_2").symlink_to(photos / "ada", target_is_directory=True)
    with pytest.raises(DatasetError, match=r"of ada and .* of ada_2 are the same image"):
        check_people(people(photos))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("ada/0.png", "ada/1.png", "ada: among its references: 1 pairs of near copies, nearest"),
        ("ada/heldout/2.png", "ada/heldout/3.png", "ada: among its held-out photos: 1 pairs of near copies,"),
        ("ada/0.png", "bob/heldout/2.png", "ada and bob: 1 pairs of near copies, nearest"),
    ],
)
def test_near_copies_are_reported(source: str, target: str, message: str, photos: Path) -> None:
    write_copy(photos / source, photos / target)
    (line,) = check_people(people(photos))
    assert line.startswith(message)
    assert f"{photos / source} and {photos / target} (" in line


def test_two_equal_references_are_reported(photos: Path) -> None:
    shutil.copy(photos / "ada" / "0.png", photos / "ada" / "1.png")
    (line,) = check_people(people(photos))
    assert "ada: among its references: 1 pairs" in line
    assert "(0 of 256 bits differ)" in line


def test_mirror_images_under_two_ids_are_reported(photos: Path) -> None:
    with Image.open(photos / "ada" / "0.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "bob" / "0.png")
    (line,) = check_people(people(photos))
    assert line.endswith("bob/0.png, mirrored (0 of 256 bits differ)")


def test_nearly_black_photographs_are_reported(photos: Path) -> None:
    with Image.open(photos / "ada" / "0.png") as image:
        image.point(lambda value: value // 20).save(photos / "ada" / "0.png")
    assert check_people(people(photos)) == [f"ada: 1 photographs are nearly black, first {photos}/ada/0.png"]


def test_unusable_photographs_are_listed(photos: Path) -> None:
    (photos / "bob" / "heldout" / "2.png").write_bytes(b"x")
    held_out = [photo for who in people(photos) for photo in who.held_out]
    assert [str(error).partition(": ")[2] for error in unusable(held_out)] == [
        "not an image (1 bytes); replace or remove it"
    ]
    with pytest.raises(DatasetError, match="not an image"):
        check_others(held_out)
