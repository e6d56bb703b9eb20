from pathlib import Path

import pytest

from metrics.atomic_write import atomic_write


def test_a_file_appears_complete_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("old")

    def interrupted_write() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted_write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_link_and_leftover_under_the_temporary_name_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    (tmp_path / ".page.md.partial").symlink_to(tmp_path / "outside")
    for text in ("first", "second"):
        with atomic_write(tmp_path / "page.md") as temporary:
            temporary.write_text(text)
        (tmp_path / ".page.md.partial").write_text("left by a killed process")
    assert (tmp_path / "outside").read_text() == "kept"
    assert (tmp_path / "page.md").read_text() == "second"
