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
