"""Folders with files made elsewhere: one file or subfolder per subject."""

from __future__ import annotations

from pathlib import Path

import pytest

from methods.errors import MethodError
from methods.subject import Subject
from methods.subject_files import SubjectFiles

ADA = Subject("ada", "woman", ())


def files_in(folder: Path, *names: str) -> SubjectFiles:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return SubjectFiles("x-folder", str(folder), "LoRA", (".safetensors", ".bin"))


def test_a_file_named_by_the_subject_is_its_own(tmp_path: Path) -> None:
    files = files_in(tmp_path, "ada.bin", "bob.bin", "ada.txt")
    assert files.of(ADA) == [tmp_path / "ada.bin"]
    assert files.missing_reason(ADA) is None
    assert files.ambiguous_reason(ADA) is None


def test_a_subfolder_comes_before_a_file(tmp_path: Path) -> None:
    files = files_in(tmp_path, "ada.bin", "ada/b.bin", "ada/a.safetensors", "ada/note.txt")
    assert [file.name for file in files.of(ADA)] == ["a.safetensors", "b.bin"]
    assert files.ambiguous_reason(ADA) == (
        f"ada: 2 LoRA files in {tmp_path / 'ada'} (a.safetensors, b.bin); leave one"
    )
    assert {file.name for file in files.all_files("note.txt")} == {
        *("ada.bin", "b.bin", "a.safetensors", "note.txt")
    }


def test_a_subject_without_files_gets_a_reason(tmp_path: Path) -> None:
    assert files_in(tmp_path, "bob.bin").missing_reason(ADA) == (
        f"ada: no LoRA in {tmp_path}; expected ada.safetensors or ada/"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [("", "x-folder: path is not set"), ("/no/such", "x-folder: no such folder /no/such")],
)
def test_a_missing_folder_is_refused(path: str, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        SubjectFiles("x-folder", path, "LoRA", (".bin",)).check()
