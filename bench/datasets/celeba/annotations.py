"""CelebA's annotation files (Liu et al. 2015), read line by line; a malformed line is named."""

import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bench.errors import DatasetError

T = TypeVar("T")
FOLDERS: Final = ("", "Anno", "Eval", "Img")
"""Where the archives put things when unpacked side by side; all in one folder is as common."""
NAMES: Final = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup
High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose
Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""
ATTRIBUTES: Final = tuple(NAMES.split())
"""The second line of list_attr_celeba.txt."""
BoxOfFace = tuple[int, int, int, int]


@dataclass(frozen=True)
class Layout:
    """Where a copy keeps its files."""

    root: Path

    def file(self, name: str) -> Path:
        """An annotation file. Raises DatasetError where it is in none of the usual places."""
        path = self.optional(name)
        if path is None:
            raise DatasetError(
                f"{self.root}: no {name}, neither here nor in Anno/ or Eval/; "
                "wanted is CelebA's official layout, whose annotations come with its pictures"
            )
        return path

    def optional(self, name: str) -> Path | None:
        """The same, or None."""
        return next((path for path in self._places(name) if path.is_file()), None)

    def pictures(self, *names: str) -> Path:
        """The folder of photographs. Raises DatasetError where there is none."""
        for name in names:
            for path in self._places(name):
                # Some unpackers make a folder of the archive's name around the archive's own.
                inner = path / name
                if path.is_dir():
                    return inner if inner.is_dir() else path
        raise DatasetError(
            f"{self.root}: no folder {names[0]}, neither here nor in Img/; unpack {names[0]}.zip"
        )

    def _places(self, name: str) -> Iterator[Path]:
        return (self.root / folder / name for folder in FOLDERS)


@dataclass
class Annotations:
    """Of the photographs of one partition, by file stem; and what was noticed on the way."""

    people: dict[str, list[str]] = field(default_factory=dict)
    """The stems of each person's photographs, by the person's id."""
    labels: dict[str, int] = field(default_factory=dict)
    """Forty attributes as bits, the first of the header highest."""
    order: tuple[str, ...] = ()
    """The header's attributes."""
    noticed: list[str] = field(default_factory=list)

    def held(self, stem: str) -> frozenset[str]:
        """The attributes that hold of a photograph."""
        bits = self.labels[stem]
        last = len(self.order) - 1
        return frozenset(name for place, name in enumerate(self.order) if bits >> (last - place) & 1)


def partition_of(path: Path, wanted: int) -> set[str]:
    """Stems of the photographs of one partition: 0 train, 1 valid, 2 test."""
    found = set()
    for stem, value in _numbers(path, lambda words: int(words[0]), "one of 0, 1, 2", columns=1):
        if value not in (0, 1, 2):
            raise DatasetError(f"{path}: {stem}: partition {value}, wanted is one of 0, 1, 2")
        if value == wanted:
            found.add(stem)
    return found


def people_of(path: Path, among: Container[str] | None) -> dict[str, list[str]]:
    """Stems by person, `among` a partition's (None: all)."""
    people: dict[str, list[str]] = {}
    for stem, value in _numbers(path, lambda words: int(words[0]), "a person's number", columns=1):
        if among is None or stem in among:
            people.setdefault(f"c{value:05d}", []).append(stem)
    return people


def labels_of(path: Path, among: Container[str] | None) -> tuple[tuple[str, ...], dict[str, int], str]:
    """The header's attributes, the labels as bits, and a remark where the count is not what line 1 says."""
    with path.open(encoding="utf-8", errors="replace") as file:
        said, header = next(file, "").strip(), tuple(next(file, "").split())
        if not said.isdigit() or set(header) != set(ATTRIBUTES):
            raise DatasetError(
                f"{path}: line 1 is {said[:40]!r} and line 2 names {len(header)} attributes; wanted are the "
                "number of photographs and CelebA's 40 names"
            )
        labels, lines = {}, 0
        for number, line in enumerate(file, start=3):
            name, *values = line.split() or [""]
            if not name:
                continue
            bits = "".join(values).replace("-1", "0")
            if len(values) != 40 or len(bits) != 40 or bits.strip("01"):
                raise DatasetError(f"{path}: line {number}: {len(values)} values; wanted are 40 of 1 or -1")
            lines += 1
            stem = name.partition(".")[0]
            if among is None or stem in among:
                labels[stem] = int(bits, 2)
    remark = f"{path}: line 1 says {said} photographs, {lines} follow" if lines != int(said) else ""
    return header, labels, remark


def faces_of(path: Path, among: Container[str]) -> dict[str, BoxOfFace]:
    """Left, top, width and height of the face in the wild, in pixels of the picture."""

    def box(words: list[str]) -> BoxOfFace:
        left, top, width, height = map(int, words)
        return left, top, width, height

    rows = _numbers(path, box, "x, y, width and height", columns=4, header=2)
    return {stem: face for stem, face in rows if stem in among}


def turns_of(path: Path, among: Container[str], turn: Callable[[int, int, int], T]) -> dict[str, T]:
    """`turn(left eye, right eye, nose)` by their horizontal positions."""

    def ratio(words: list[str]) -> T:
        return turn(int(words[0]), int(words[2]), int(words[4]))

    rows = _numbers(path, ratio, "five points", columns=10, header=2)
    return {stem: value for stem, value in rows if stem in among}


def stems_in(folder: Path) -> dict[str, str]:
    """Suffixes of the pictures that are there, by stem; a directory of 202,599 is read in a fraction of a
    second."""
    with os.scandir(folder) as entries:
        parted = (entry.name.rpartition(".") for entry in entries)
        return {stem: f".{suffix}" for stem, dot, suffix in parted if dot and stem}


def _numbers(
    path: Path, read: Callable[[list[str]], T], wanted: str, *, columns: int, header: int = 0
) -> Iterator[tuple[str, T]]:
    """Stem and numbers of every line after the header."""
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
                    f"{path}: line {number}: {line.strip()!r}; wanted is a file name and {wanted}"
                ) from error
            yield words[0].partition(".")[0], value
