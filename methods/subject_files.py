"""A folder with files made elsewhere, for each subject one file or one subfolder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from methods.errors import MethodError
from methods.subject import Subject


@dataclass(frozen=True)
class SubjectFiles:
    """The files of a subject: `<folder>/<id><suffix>`, or those in `<folder>/<id>/`."""

    method: str
    """The method's name, for error messages."""
    path: str
    kind: str
    """What the files contain: `LoRA`."""
    suffixes: Sequence[str]

    def check(self) -> None:
        """Raise MethodError where the folder is not set or does not exist."""
        if not self.path:
            raise MethodError(
                f"{self.method}: path is not set; give the folder with one {self.kind} per identity"
            )
        if not self.folder.is_dir():
            raise MethodError(
                f"{self.method}: no such folder {self.path}; give the folder with the {self.kind} files"
            )

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser()

    def all_files(self, *names: str) -> tuple[Path, ...]:
        """The files of all subjects, and other files in the folders that have one of these names."""
        files = (path for pattern in ("*", "*/*") for path in self.folder.glob(pattern))
        return tuple(sorted(f for f in files if f.suffix in self.suffixes or f.name in names))

    def of(self, subject: Subject) -> list[Path]:
        """The subject's files, sorted by name."""
        subfolder = self.folder / subject.id
        if subfolder.is_dir():
            return sorted(file for file in subfolder.iterdir() if file.suffix in self.suffixes)
        return [file for suffix in self.suffixes if (file := self.folder / f"{subject.id}{suffix}").is_file()]

    def missing_reason(self, subject: Subject) -> str | None:
        """One line on why the subject has no file, or None."""
        if self.of(subject):
            return None
        return (
            f"{subject.id}: no {self.kind} in {self.folder}; "
            f"expected {subject.id}{self.suffixes[0]} or {subject.id}/"
        )

    def ambiguous_reason(self, subject: Subject) -> str | None:
        """One line on why the subject has several files, or None."""
        found = self.of(subject)
        if len(found) < 2:
            return None
        names = ", ".join(file.name for file in found)
        return f"{subject.id}: {len(found)} {self.kind} files in {found[0].parent} ({names}); leave one"
