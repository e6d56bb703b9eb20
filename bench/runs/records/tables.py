"""The tables of a run folder: cells.csv, fits.csv, scores.csv and sets.csv, as typed rows."""

import csv
import gzip
import io
import math
import types
import typing
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, TextIO, TypeVar

from bench.atomic_io import write_text
from bench.errors import ReportError
from bench.runs.records.renamed import CSV_COLUMNS, CSV_VALUES, renamed

RowType = TypeVar("RowType")
Status = Literal["generated", "failed", "missing"]

CELLS: Final = "cells.csv"
FITS: Final = "fits.csv"
SCORES: Final = "scores.csv"
SETS: Final = "sets.csv"
METRICS: Final = "metrics.json"

FLOOR: Final = "text-only"
"""The row of the backbone alone."""
REAL_SAME: Final = "real (same person)"
REAL_OTHER: Final = "real (other person)"
REAL_SET_SAME: Final = "real (same people)"
"""Photographs of the run's people, as many as a method's set has images of each."""
REAL_SET: Final = "real (disjoint half)"
"""Photographs of anybody; in runs of version 0.1 only."""
REAL_SETS: Final = (REAL_SET_SAME, REAL_SET)
"""Rows of real photographs in sets.csv; a run has one of them."""
NO_IMAGE: Final = ("failed: ", "missing: ")
"""First words of the reason where a score is missing because its image is missing."""
NO_CONTENT: Final = "the image is "
"""First words of the reason where a score is missing because its image is `nan`, `black` or `constant`."""


@dataclass(frozen=True)
class CellRow:
    """One line of cells.csv: one planned image and its outcome."""

    cell: str
    method: str
    identity: str
    prompt: str
    category: str
    template: str
    sample: int
    seed: int
    status: Status
    reason: str = ""
    """Why there is no image."""
    flaw: str = ""
    """`nan`, `black` or `constant` where the image shows nothing."""
    picture: str = ""
    """The image's fingerprint."""
    seconds: float | None = None
    memory_mb: float | None = None
    gpu_mb: float | None = None
    run_fingerprint: str = ""
    """Digest of what all images of the run share: backbone, sampling, device, libraries."""
    fit: int = 1
    """Number of the fit that generated the image, from 1."""

    @property
    def has_content(self) -> bool:
        """Whether there is an image to score: it was generated, and it shows something."""
        return self.status == "generated" and not self.flaw

    @property
    def no_score_reason(self) -> str:
        """Why no metric scores the cell; empty where `has_content`."""
        if self.status != "generated":
            return f"{self.status}: {self.reason}"
        return f"{NO_CONTENT}{self.flaw}" if self.flaw else ""


@dataclass(frozen=True)
class FitRow:
    """One line of fits.csv: the cost of one fit of one identity by one method."""

    method: str
    identity: str
    seconds: float | None
    memory_mb: float | None
    gpu_mb: float | None
    bytes: int | None
    fit: int = 1
    """Number of the fit, from 1."""


@dataclass(frozen=True)
class ScoreRow:
    """One line of scores.csv: one image by one metric. A missing value has a reason."""

    method: str
    identity: str
    prompt: str
    category: str
    sample: int
    metric: str
    encoder: str
    value: float | None
    reason: str
    fingerprint: str
    """Digest of what the metric depends on; metrics.json contains the parts."""


@dataclass(frozen=True)
class SetRow:
    """One line of sets.csv: one set of images by one metric."""

    method: str
    metric: str
    encoder: str
    left_out: str
    """The identity left out, for the interval; empty for the whole set."""
    n: int
    """Number of images."""
    against: int
    """Number of real photographs they are compared with."""
    value: float | None
    reason: str
    fingerprint: str


KEYS: Final[Mapping[type, tuple[str, ...]]] = {
    CellRow: ("cell",),
    FitRow: ("method", "identity", "fit"),
    ScoreRow: ("method", "identity", "prompt", "sample", "metric", "encoder"),
    SetRow: ("method", "metric", "encoder", "left_out"),
}
"""Columns that no two lines have in common."""


def write_rows(path: Path, rows: Sequence[Any], row_type: type) -> None:
    """Write dataclass rows as CSV, atomically; None becomes an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [f.name for f in fields(row_type)]
    writer.writerow(names)
    # `astuple` copies every value, which takes ten times as long.
    values_of = attrgetter(*names)
    writer.writerows(["" if value is None else value for value in values_of(row)] for row in rows)
    write_text(path, buffer.getvalue())


def read_rows(path: Path, row_type: type[RowType]) -> list[RowType]:
    """Read a table that `write_rows` wrote; falls back to `<path>.gz` where `path` does not exist.

    The last columns may be absent if their fields have defaults: an older version wrote the table. Raises
    ReportError where neither file exists, the columns differ, or a field has the wrong type.
    """
    parsers = _parsers(row_type)
    try:
        with _opened(path) as file:
            reader = csv.reader(_whole_lines(file, path))
            header = renamed(next(reader, []), CSV_COLUMNS, str(path))
            absent = list(parsers)[len(header) :]
            if header != list(parsers)[: len(header)] or not all(_has_default(row_type, n) for n in absent):
                raise ReportError(
                    f"{path}: columns {header}, expected {list(parsers)}; run `bench run` again"
                )
            present = {name: parsers[name] for name in header}
            rows = [
                _parsed(values, present, row_type, f"{path}, line {reader.line_num}") for values in reader
            ]
            _check_distinct(rows, row_type, path)
            return rows
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReportError(f"{path}: cannot be read ({reason}); finish the run with `bench run`") from error


def _opened(path: Path) -> TextIO:
    packed = path.with_name(f"{path.name}.gz")
    if packed.exists() and not path.exists():
        return gzip.open(packed, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _whole_lines(lines: Iterable[str], path: Path) -> Iterator[str]:
    line = ""
    for line in lines:
        yield line
    if line and not line.endswith("\n"):
        raise ReportError(f"{path}: ends in the middle of a line; the table is cut, run `bench run` again")


def _check_distinct(rows: Sequence[Any], row_type: type, path: Path) -> None:
    """Raise ReportError for two lines about one thing, which would count twice."""
    key = attrgetter(*KEYS[row_type])
    if len({key(row) for row in rows}) < len(rows):
        (first, _), *_ = Counter(map(key, rows)).most_common(1)
        raise ReportError(f"{path}: two lines about {first}; the table is damaged, run `bench run` again")


def _has_default(row_type: type, name: str) -> bool:
    return any(f.name == name and f.default is not MISSING for f in fields(row_type))


def _parsers(row_type: type) -> dict[str, Callable[[str], Any]]:
    hints = typing.get_type_hints(row_type)
    return {f.name: _parser(hints[f.name]) for f in fields(row_type)}


def _parser(hint: Any) -> Callable[[str], Any]:
    if isinstance(hint, types.UnionType):
        number = typing.get_args(hint)[0]
        return lambda text: _finite(number(text)) if text else None
    if hint is int:
        return int
    if hint is str:
        return str
    choices = typing.get_args(hint)
    return lambda text: choices[choices.index(CSV_VALUES.get(text, text))]


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{number}; expected a finite number")
    return number


def _parsed(
    values: Sequence[str], parsers: Mapping[str, Callable[[str], Any]], row_type: type[RowType], where: str
) -> RowType:
    try:
        return row_type(*[parse(text) for parse, text in zip(parsers.values(), values, strict=True)])
    except ValueError as error:
        raise ReportError(f"{where}: {error}; the table is damaged, run `bench run` again") from error
