"""Read CelebA's annotation files (Liu et al. 2015) line by line; errors name the malformed line."""

import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bench.errors import DatasetError

T = TypeVar("T")
FOLDERS: Final = ("", "Anno", "Eval", "Img")
"""Folders of the unpacked archives; a single folder with all files is also common."""
NAMES: Final = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup
High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose
Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""
ATTRIBUTES: Final = tuple(NAMES.split())
"""The 40 attributes, as in the second line of list_attr_celeba.txt."""
FaceBox = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


@dataclass(frozen=True)
class Layout:
    """Locations of the files of one copy of CelebA."""

    root: Path

    def file(self, name: str) -> Path:
        """Path of an annotation file. Raises DatasetError if it is in none of the usual folders."""
        path = self.optional(name)
        if path is None:
            raise DatasetError(
                f"{self.root}: no {name}, neither here nor in Anno/ or Eval/; "
                "expected CelebA's official layout, whose annotations are distributed with its images"
            )
        return path

    def optional(self, name: str) -> Path | None:
        """Path of an annotation file, or None if it does not exist."""
        return next((path for path in self._candidates(name) if path.is_file()), None)

    def image_folder(self, *names: str) -> Path:
        """The first existing image folder of these names. Raises DatasetError if there is none."""
        for name in names:
            for path in self._candidates(name):
                # Some unpacking tools add an outer folder with the name of the archive.
                inner = path / name
                if path.is_dir():
                    return inner if inner.is_dir() else path
        raise DatasetError(
            f"{self.root}: no folder {names[0]}, neither here nor in Img/; unpack {names[0]}.zip"
        )

    def _candidates(self, name: str) -> Iterator[Path]:
        return (self.root / folder / name for folder in FOLDERS)


@dataclass
class Annotations:
    """Annotations of one partition, by file stem, and remarks about the files."""

    people: dict[str, list[str]] = field(default_factory=dict)
    """File stems by person id."""
    labels: dict[str, int] = field(default_factory=dict)
    """The 40 attributes as bits of an integer; the header's first attribute is the highest bit."""
    order: tuple[str, ...] = ()
    """The attributes in the order of the header."""
    remarks: list[str] = field(default_factory=list)

    def true_labels(self, stem: str) -> frozenset[str]:
        """The attributes that are true for a photograph."""
        bits = self.labels[stem]
        last = len(self.order) - 1
        return frozenset(name for index, name in enumerate(self.order) if bits >> (last - index) & 1)


def partition_of(path: Path, partition: int) -> set[str]:
    """Stems of the photographs of one partition: 0 train, 1 valid, 2 test."""
    stems = set()
    for stem, value in _rows(path, lambda words: int(words[0]), "one of 0, 1, 2", columns=1):
        if value not in (0, 1, 2):
            raise DatasetError(f"{path}: {stem}: partition {value}, expected one of 0, 1, 2")
        if value == partition:
            stems.add(stem)
    return stems


def people_of(path: Path, among: Container[str] | None) -> dict[str, list[str]]:
    """Stems by person id, restricted to the stems `among` (None: all)."""
    people: dict[str, list[str]] = {}
    for stem, value in _rows(path, lambda words: int(words[0]), "a person's number", columns=1):
        if among is None or stem in among:
            people.setdefault(f"c{value:05d}", []).append(stem)
    return people


def labels_of(path: Path, among: Container[str] | None) -> tuple[tuple[str, ...], dict[str, int], str]:
    """The header's attributes, the labels as bits, and a remark if the count differs from line 1 (or "")."""
    with path.open(encoding="utf-8", errors="replace") as file:
        count, header = next(file, "").strip(), tuple(next(file, "").split())
        if not count.isdigit() or set(header) != set(ATTRIBUTES):
            raise DatasetError(
                f"{path}: line 1 is {count[:40]!r} and line 2 has {len(header)} attributes; expected the "
                "number of photographs and CelebA's 40 attributes"
            )
        labels, lines = {}, 0
        for number, line in enumerate(file, start=3):
            name, *values = line.split() or [""]
            if not name:
                continue
            bits = "".join(values).replace("-1", "0")
            if len(values) != 40 or len(bits) != 40 or bits.strip("01"):
                raise DatasetError(f"{path}: line {number}: {len(values)} values; expected 40 of 1 or -1")
            lines += 1
            stem = name.partition(".")[0]
            if among is None or stem in among:
                labels[stem] = int(bits, 2)
    remark = f"{path}: line 1 announces {count} photographs, {lines} follow" if lines != int(count) else ""
    return header, labels, remark


def faces_of(path: Path, among: Container[str]) -> dict[str, FaceBox]:
    """Face boxes of the in-the-wild images, by stem."""

    def box(words: list[str]) -> FaceBox:
        left, top, width, height = map(int, words)
        return left, top, width, height

    rows = _rows(path, box, "x, y, width and height", columns=4, header=2)
    return {stem: face for stem, face in rows if stem in among}


def turns_of(path: Path, among: Container[str], turn: Callable[[int, int, int], T]) -> dict[str, T]:
    """`turn(left eye, right eye, nose)` of the horizontal landmark positions, by stem."""

    def ratio(words: list[str]) -> T:
        return turn(int(words[0]), int(words[2]), int(words[4]))

    rows = _rows(path, ratio, "five points", columns=10, header=2)
    return {stem: value for stem, value in rows if stem in among}


def stems_in(folder: Path) -> dict[str, str]:
    """Suffixes of the existing images, by stem; fast for CelebA's 202,599 files."""
    with os.scandir(folder) as entries:
        parts = (entry.name.rpartition(".") for entry in entries)
        return {stem: f".{suffix}" for stem, dot, suffix in parts if dot and stem}


def _rows(
    path: Path, read: Callable[[list[str]], T], expected: str, *, columns: int, header: int = 0
) -> Iterator[tuple[str, T]]:
    """Stem and converted columns of every line after the header."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            words = line.split()
            if number <= header or not words:
                continue
            try:
                if len(words) != columns + 1:
                    raise ValueError
                value = read(words[1:])
            except ValueError as error:
                raise DatasetError(
                    f"{path}: line {number}: {line.strip()!r}; expected a file name and {expected}"
                ) from error
            yield words[0].partition(".")[0], value
