"""Digests of scored files: read once, read again when the file changes."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.scoring.image_digests import FILE, ImageDigests
from bench.subjects.identity import PhotoFile
from bench.subjects.image_files import ArrayRow, Box


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "images" / "one.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    return path


def digest_of(run: Path, path: Path) -> str:
    """The digest that a new process finds."""
    digests = ImageDigests(run)
    found = digests.of(path)
    digests.save()
    return found


def test_another_content_of_the_same_size_has_another_digest(tmp_path: Path, image: Path) -> None:
    first = digest_of(tmp_path / "run", image)
    assert digest_of(tmp_path / "run", image) == first
    status = image.stat()
    image.write_bytes(b"two")
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of(tmp_path / "run", image) != first
    image.unlink()
    assert digest_of(tmp_path / "run", image) == "missing"


def test_a_moved_run_folder_has_the_same_digests(tmp_path: Path, image: Path) -> None:
    first = digest_of(tmp_path / "run", image)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert digest_of(tmp_path / "moved", tmp_path / "moved" / "images" / "one.png") == first
    assert '"images' in (tmp_path / "moved" / FILE).read_text()


@pytest.mark.parametrize("content", ["", "[]", '{"images/one.png": 3}', "\0"])
def test_a_damaged_record_is_ignored(tmp_path: Path, image: Path, content: str) -> None:
    first = digest_of(tmp_path / "run", image)
    (tmp_path / "run" / FILE).write_text(content)
    assert digest_of(tmp_path / "run", image) == first


def test_parts_and_corruptions_of_a_file_have_their_own_digests(tmp_path: Path) -> None:
    sheet, array = tmp_path / "sheet.png", tmp_path / "photos.npy"
    Image.new("RGB", (8, 4), "red").save(sheet)
    np.save(array, np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3))
    photos = [
        PhotoFile(sheet, "c"),
        PhotoFile(sheet, "c", part=Box(0, 0, 4, 4)),
        PhotoFile(sheet, "c", part=Box(4, 0, 8, 4)),
        PhotoFile(sheet, "c", corruption="blurred"),
        PhotoFile(array, "c", part=ArrayRow(0)),
        PhotoFile(array, "c", part=ArrayRow(1)),
        PhotoFile(array, "c", part=ArrayRow(1), corruption="blurred"),
    ]
    digests = ImageDigests(tmp_path)
    found = [digests.of_photo(photo) for photo in photos]
    assert len(set(found)) == len(photos)
    assert [digests.of_photo(photo) for photo in photos] == found
