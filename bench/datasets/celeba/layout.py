"""Locate the files of a copy of CelebA: the official folders, nested ones, text files or CSV files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from bench.errors import DatasetError
from bench.subjects.image_files import entries, is_system_file

DEPTH: Final = 2
"""Levels of folders below the root that are searched: `celeba/Anno`."""
MOST_FOLDERS: Final = 200
"""Maximum number of folders that are searched, so that a wrong path does not read a whole disk."""
SUFFIXES: Final = (".txt", ".csv")
"""Suffixes of annotation files; the official text file comes first."""
HINTS: Final = {
    "identity_CelebA": "some copies lack it; it is in the folder Anno of the official distribution",
    "list_eval_partition": 'add it, or set partition = "all"',
}
"""What to do if an annotation file is missing."""
IMAGES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Suffixes of photographs; the first one is used if there are several files of one photograph."""


@dataclass(frozen=True)
class Layout:
    """Locations of the files of one copy of CelebA."""

    root: Path

    def file(self, name: str) -> Path:
        """Path of an annotation file, by its name without suffix. Raises DatasetError if there is none."""
        path = self.optional(name)
        if path is None:
            raise DatasetError(
                f"{self.root}: no {name}.txt or .csv, neither here nor in its folders; "
                f"{HINTS.get(name, 'it is distributed with the images')}"
            )
        return path

    def optional(self, name: str) -> Path | None:
        """Path of an annotation file, or None if it does not exist."""
        candidates = (folder / f"{name}{suffix}" for folder in self._folders for suffix in SUFFIXES)
        return next((path for path in candidates if path.is_file()), None)

    def image_folder(self, *names: str) -> Path:
        """The first existing image folder of these names. Raises DatasetError if there is none."""
        for name in names:
            for folder in self._folders:
                path = folder / name
                # Some unpacking tools add an outer folder with the name of the archive.
                while (path / name).is_dir():
                    path = path / name
                if path.is_dir():
                    return path
        other = {"img_align_celeba": "img_celeba", "img_celeba": "img_align_celeba"}.get(names[0], "")
        pictures = "in-the-wild" if other == "img_celeba" else "aligned"
        remedy = f"unpack {names[0]}.zip"
        if other and any((folder / other).is_dir() for folder in self._folders):
            remedy = f'{remedy}, or set pictures = "{pictures}" to use {other}'
        raise DatasetError(f"{self.root}: no folder {names[0]}, neither here nor in its folders; {remedy}")

    @cached_property
    def _folders(self) -> list[Path]:
        """The root and the folders below it, except those of images, the outer ones first."""
        found, level = [self.root], [self.root]
        for _ in range(DEPTH):
            level = [inner for folder in level for inner in _inner_folders(folder)]
            found += level
        return found[:MOST_FOLDERS]


def _inner_folders(folder: Path) -> Iterator[Path]:
    for path in entries(folder):
        if path.is_dir() and not path.name.lower().startswith("img_") and not is_system_file(path):
            yield path


def images_in(folder: Path) -> tuple[dict[str, str], int]:
    """Suffixes of the existing images by stem, and the number of images whose stem another image has.

    Fast for CelebA's 202,599 files; other files, such as captions next to the images, are ignored.
    """
    suffixes: dict[str, str] = {}
    doubled = 0
    for path in entries(folder):
        stem, dot, suffix = path.name.rpartition(".")
        rank = _rank(f".{suffix}")
        if not stem or not dot or rank is None:
            continue
        known = suffixes.setdefault(stem, f".{suffix}")
        doubled += known != f".{suffix}"
        suffixes[stem] = min(known, f".{suffix}", key=lambda each: _rank(each) or 0)
    return suffixes, doubled


def _rank(suffix: str) -> int | None:
    return IMAGES.index(suffix.lower()) if suffix.lower() in IMAGES else None
