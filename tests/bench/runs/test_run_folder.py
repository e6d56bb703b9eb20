"""Atomic writes and locks of a run folder."""

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from bench.atomic_io import fresh_folder, read_json, write_json, write_whole
from bench.errors import StoreError, SuiteError
from bench.runs.plan import Cell, Group
from bench.runs.run_folder import RunFolder, check_distinct_files, locked, safe
from bench.suite.prompts import Prompt

CELL = Cell("a:b", "ada", Prompt("hat", "{subject} in a hat"), 1, 7)


def test_image_is_found_with_its_fingerprint(tmp_path: Path, ada: Image.Image) -> None:
    folder = RunFolder(tmp_path)
    assert folder.found(CELL) != "f"
    folder.save(CELL, ada, "f", {"seconds": 1.0})
    assert folder.found(CELL) == "f"
    assert folder.found(CELL) != "g"
    assert read_json(folder.sidecar(CELL)) == {"seconds": 1.0}
    with Image.open(folder.image(CELL)) as image:
        assert image.tobytes() == ada.tobytes()


def test_equal_images_are_equal_files(tmp_path: Path, ada: Image.Image) -> None:
    one, other = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "other")
    marked = ada.copy()
    marked.info["comment"] = "metadata"
    one.save(CELL, ada, "f", {"flaw": ""})
    other.save(CELL, marked, "f", {"flaw": ""})
    assert one.image(CELL).read_bytes() == other.image(CELL).read_bytes()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_image_with_one_changed_bit_is_not_found(share: float, tmp_path: Path, ada: Image.Image) -> None:
    folder = RunFolder(tmp_path)
    folder.save(CELL, ada, "f", {"flaw": ""})
    content = bytearray(folder.image(CELL).read_bytes())
    content[int(share * len(content))] ^= 0x40
    folder.image(CELL).write_bytes(content)
    assert folder.found(CELL) is None


@pytest.mark.parametrize("content", [None, "", "{", "[1]"])
def test_image_without_a_readable_sidecar_is_not_found(
    content: str | None, tmp_path: Path, ada: Image.Image
) -> None:
    """The sidecar contains the image's flaw."""
    folder = RunFolder(tmp_path)
    folder.save(CELL, ada, "f", {"flaw": "nan"})
    if content is None:
        folder.sidecar(CELL).unlink()
    else:
        folder.sidecar(CELL).write_text(content)
    assert folder.found(CELL) is None


@pytest.mark.parametrize("size", [0, 30, 400])
def test_truncated_image_is_not_found(size: int, tmp_path: Path, ada: Image.Image) -> None:
    folder = RunFolder(tmp_path)
    folder.save(CELL, ada, "f", {"flaw": ""})
    whole = folder.image(CELL).read_bytes()
    folder.image(CELL).write_bytes(whole[:size])
    assert folder.found(CELL) != "f"


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write_whole(path, b"old")

    def full(opened: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="cannot be written"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"


def test_failed_fit_leaves_no_folder(tmp_path: Path) -> None:
    place = tmp_path / "ada"
    with pytest.raises(FileNotFoundError), fresh_folder(place) as into:
        (into / "half" / "way").write_text("x")
    assert list(tmp_path.iterdir()) == []
    with fresh_folder(place) as into:
        (into / "whole").write_text("x")
    with pytest.raises(FileNotFoundError), fresh_folder(place) as into:
        (into / "nothing").read_text()
    assert [path.name for path in place.iterdir()] == ["whole"]


def test_lock_is_released(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        pass
    with (
        locked(tmp_path / "run"),
        pytest.raises(StoreError, match="is writing here"),
        locked(tmp_path / "run"),
    ):
        pass


def test_damaged_json_file_is_read_as_empty(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "a.json").write_text("{")
    assert read_json(tmp_path / "a.json") == {}


def test_method_names_become_folder_names() -> None:
    assert safe("package.module:Class") == "package.module+Class"


def groups(*places: tuple[str, str]) -> list[Group]:
    prompt = Prompt("hat", "{subject} in a hat")
    return [Group(row, who, (Cell(row, who, prompt, 1, 7),)) for row, who in places]


def test_rows_and_people_with_their_own_files_are_accepted() -> None:
    check_distinct_files(groups(("a:b", "ada"), ("a.b", "ada"), ("a:b", "Ada"), ("a@b=1.0", "é")))


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([("a/b", "ada"), ("a_b", "ada")], "rows 'a/b' and 'a_b' would share a folder"),
        ([("x:y", "ada"), ("x+y", "bob")], "rows 'x:y' and 'x\\+y' would share a folder"),
        ([("", "ada")], "'' cannot be the name of a row"),
        ([(".", "ada")], "'.' cannot be the name of a row"),
        ([("..", "ada")], "'..' cannot be the name of a row"),
        ([("a\nb", "ada")], "cannot be the name of a row"),
        ([("a" * 250, "ada")], "cannot be the name of a row"),
        ([("a", "ada"), ("a", "ada.json")], "'ada' and 'ada.json' would share a file"),
    ],
)
def test_planned_images_that_would_share_a_file_are_refused(
    places: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(SuiteError, match=message):
        check_distinct_files(groups(*places))
