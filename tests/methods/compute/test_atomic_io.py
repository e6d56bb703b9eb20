"""Atomic writes: complete or absent, and no temporary file is left."""

from __future__ import annotations

import os
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
    (tmp_path / ".features.partial").mkdir()
    (tmp_path / ".features.partial" / "left-over").write_bytes(b"")
    with atomic_folder(path) as temporary:
        assert not path.exists()
        (temporary / "one").write_bytes(b"1")
    assert [file.name for file in path.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_name_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    (tmp_path / ".card.md.partial").symlink_to(tmp_path / "outside")
    write_text(tmp_path / "card.md", "new")
    assert (tmp_path / "outside").read_text() == "kept"
    assert (tmp_path / "card.md").read_text() == "new"
    assert not (tmp_path / "card.md").is_symlink()


def test_content_and_names_are_flushed_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda opened: order.append(Path(f"/proc/self/fd/{opened}").readlink()))
    with atomic_folder(tmp_path / "features") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "one").write_bytes(b"1")
    names = [path.relative_to(tmp_path).as_posix() for path in order]
    partial = ".features.partial"
    assert names == [f"{partial}/inner/one", f"{partial}/inner", partial, "."]
