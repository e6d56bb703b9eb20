"""Read CelebA's annotation files (Liu et al. 2015) line by line; errors name the malformed line.

The official text files and their conversions to CSV are read alike: with or without a number of lines, a
header, quotes and commas.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bench.errors import DatasetError
from bench.subjects.face_crops import FaceBox
from bench.text_files import read_lines

T = TypeVar("T")
NAMES: Final = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair
Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup
High_Cheekbones Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose
Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat
Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young
"""
ATTRIBUTES: Final = tuple(NAMES.split())
"""The 40 attributes, as in the second line of list_attr_celeba.txt."""
HEADER_LINES: Final = 2
"""Maximum number of lines before the first photograph."""
SEPARATORS: Final = {ord(","): " ", ord(";"): " ", ord('"'): " "}


@dataclass
class Annotations:
    """Annotations of one partition, by file stem, and remarks about the files."""

    people: dict[str, list[str]] = field(default_factory=dict)
    """File stems by person id."""
    labels: dict[str, int] = field(default_factory=dict)
    """The 40 attributes as bits of an integer; the header's first attribute is the highest bit."""
    order: tuple[str, ...] = ()
    """The attributes in the order of the header; empty if the copy has no attributes."""
    remarks: list[str] = field(default_factory=list)

    def true_labels(self, stem: str) -> frozenset[str]:
        """The attributes that are true for a photograph."""
        bits = self.labels[stem]
        last = len(self.order) - 1
        return frozenset(name for index, name in enumerate(self.order) if bits >> (last - index) & 1)


def partition_of(path: Path, partition: int) -> set[str]:
    """Stems of the photographs of one partition: 0 train, 1 valid, 2 test."""
    found: dict[str, int] = {}
    for stem, value in _rows(path, lambda words: int(words[0]), "one of 0, 1, 2", columns=1):
        if value not in (0, 1, 2):
            raise DatasetError(f"{path}: {stem}: partition {value}, expected one of 0, 1, 2")
        if found.setdefault(stem, value) != value:
            raise DatasetError(f"{path}: {stem} is in the partitions {found[stem]} and {value}; remove one")
    return {stem for stem, value in found.items() if value == partition}


def people_of(path: Path, among: Container[str] | None) -> dict[str, list[str]]:
    """Stems by person id, restricted to the stems `among` (None: all)."""
    owners: dict[str, int] = {}
    people: dict[str, list[str]] = {}
    for stem, value in _rows(path, lambda words: int(words[0]), "a person's number", columns=1):
        if among is not None and stem not in among:
            continue
        if stem not in owners:
            owners[stem] = value
            people.setdefault(f"c{value:05d}", []).append(stem)
        elif owners[stem] != value:
            raise DatasetError(
                f"{path}: {stem} is a photograph of person {owners[stem]} and of {value}; remove one line"
            )
    return people


def labels_of(path: Path, among: Container[str] | None) -> tuple[tuple[str, ...], dict[str, int], str]:
    """The header's attributes, the labels as bits, and a remark if the count differs from line 1 (or "")."""
    count: int | None = None
    header: tuple[str, ...] = ()
    labels: dict[str, int] = {}
    lines = 0
    for number, line in read_lines(path):
        name, *values = line.translate(SEPARATORS).split() or [""]
        if not name:
            continue
        if not header and number == 1 and name.isdigit() and not values:
            count = int(name)
        elif not header:
            header = _attributes((name, *values), path, number)
        else:
            lines += 1
            stem, bits = name.partition(".")[0], _bits(values, path, number)
            if among is None or stem in among:
                labels[stem] = bits
    if not header:
        raise DatasetError(f"{path}: no line with the names of CelebA's 40 attributes")
    differs = count is not None and count != lines
    remark = f"{path}: line 1 announces {count} photographs, {lines} follow" if differs else ""
    return header, labels, remark


def _attributes(words: tuple[str, ...], path: Path, number: int) -> tuple[str, ...]:
    """The header, in CSV files after a name for the first column."""
    names = words[1:] if len(words) > len(ATTRIBUTES) else words
    if len(names) != len(ATTRIBUTES) or set(names) != set(ATTRIBUTES):
        raise DatasetError(
            f"{path}: line {number} has {len(set(names) & set(ATTRIBUTES))} of CelebA's 40 attributes and "
            f"{len(words)} words; expected the names of all attributes"
        )
    return names


def _bits(values: list[str], path: Path, number: int) -> int:
    bits = "".join(values).replace("-1", "0").replace("+", "")
    if len(values) != 40 or len(bits) != 40 or bits.strip("01"):
        raise DatasetError(f"{path}: line {number}: {len(values)} values; expected 40 of 1 or -1")
    return int(bits, 2)


def faces_of(path: Path, among: Container[str]) -> dict[str, FaceBox]:
    """Face boxes of the in-the-wild images, by stem."""

    def box(words: list[str]) -> FaceBox:
        left, top, width, height = map(int, words)
        return left, top, width, height

    rows = _rows(path, box, "x, y, width and height", columns=4)
    return {stem: face for stem, face in rows if stem in among}


def turns_of(path: Path, among: Container[str], turn: Callable[[int, int, int], T]) -> dict[str, T]:
    """`turn(left eye, right eye, nose)` of the horizontal landmark positions, by stem."""

    def ratio(words: list[str]) -> T:
        return turn(int(words[0]), int(words[2]), int(words[4]))

    rows = _rows(path, ratio, "five points", columns=10)
    return {stem: value for stem, value in rows if stem in among}


def _rows(
    path: Path, read: Callable[[list[str]], T], expected: str, *, columns: int
) -> Iterator[tuple[str, T]]:
    """Stem and converted columns of every line after the header."""
    for number, line in read_lines(path):
        words = line.translate(SEPARATORS).split()
        if not words or (number <= HEADER_LINES and _is_header(words)):
            continue
        try:
            if len(words) != columns + 1:
                raise ValueError
            value = read(words[1:])
        except ValueError as error:
            raise DatasetError(
                f"{path}: line {number}: {line.strip()[:80]!r}; expected a file name and {expected}"
            ) from error
        yield words[0].partition(".")[0], value


def _is_header(words: list[str]) -> bool:
    """Whether a line is the number of photographs or the names of columns: no value in it is a number."""
    if len(words) == 1:
        return words[0].isdigit()
    return not any(word.lstrip("+-").replace(".", "").isdigit() for word in words[1:])
