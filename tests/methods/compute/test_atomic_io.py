"""Atomic writes: complete or absent, and no temporary file is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from methods.compute.atomic_io import atomic_file, atomic_folder, write_text


def test_text_replaces_an_existing_file_and_missing_folders_are_created(tmp_path: Path) -> None:
    path = tmp_path / "new" / "card.md"
    for text in ("first\n", "zweite Fassung: ä\n"):
        write_text(path, text)
        assert path.read_bytes() == text.encode()
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "features"

    def write_half() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "one").write_bytes(b"1")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".features").mkdir()
    (tmp_path / ".features" / "left-over").write_bytes(b"")
    with atomic_folder(path) as temporary:
        assert not path.exists()
        (temporary / "one").write_bytes(b"1")
    assert [file.name for file in path.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [path]
