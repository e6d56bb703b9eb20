"""What came of every cell and every fitting, as plain tables that a report can read without the pictures."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, Literal, TextIO, TypeVar

from bench.errors import ReportError
from bench.runs.atomic_io import write_text

Row = TypeVar("Row")
Status = Literal["drawn", "failed", "missing"]

CELLS: Final = "cells.csv"
FITS: Final = "fits.csv"


@dataclass(frozen=True)
class CellRow:
    """One line of cells.csv. Empty texts stand for what is not known."""

    cell: str
    method: str
    identity: str
    prompt: str
    category: str
    template: str
    sample: str
    seed: str
    status: Status
    why: str = ""
    flaw: str = ""
    """`nan`, `black` or `constant` where the picture shows nothing."""
    picture: str = ""
    """The picture's fingerprint."""
    seconds: str = ""
    memory_mb: str = ""
    gpu_mb: str = ""
    run_fingerprint: str = ""
    """Digest of what the whole run shares: backbone, sampling, device, libraries."""


@dataclass(frozen=True)
class FitRow:
    """One line of fits.csv."""

    method: str
    identity: str
    seconds: str
    memory_mb: str
    gpu_mb: str
    bytes: str


def write_rows(path: Path, rows: Sequence[object], row_type: type) -> None:
    """Write dataclass rows as CSV, whole."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [f.name for f in fields(row_type)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)  # type: ignore[call-overload]  # rows are dataclasses
    write_text(path, buffer.getvalue())


def read_rows(path: Path, row_type: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote, or `gzip` made of it: where there is no `cells.csv`, `cells.csv.gz`.

    Raises ReportError where there is neither, or it has other columns.
    """
    wanted = [f.name for f in fields(row_type)]  # type: ignore[arg-type]  # rows are dataclasses
    try:
        with _opened(path) as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != wanted:
                raise ReportError(
                    f"{path}: columns {reader.fieldnames}, wanted are {wanted}; run `bench run` again"
                )
            return [row_type(**row) for row in reader]
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise ReportError(f"{path}: cannot be read ({why}); finish the run with `bench run`") from error


def counts(rows: Iterable[CellRow]) -> Mapping[Status, int]:
    """How many cells are drawn, failed and missing."""
    found: dict[Status, int] = {"drawn": 0, "failed": 0, "missing": 0}
    for row in rows:
        found[row.status] += 1
    return found


def _opened(path: Path) -> TextIO:
    packed = path.with_name(f"{path.name}.gz")
    if packed.exists() and not path.exists():
        return gzip.open(packed, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


FLOOR: Final = "text-only"
"""The row of the backbone alone."""


REAL_SAME: Final = "real (same person)"


REAL_OTHER: Final = "real (other person)"


NO_PICTURE: Final = ("failed: ", "missing: ")
"""How the reason of a score begins that is missing because its picture is."""


SCORES: Final = "scores.csv"


SETS: Final = "sets.csv"


METRICS: Final = "metrics.json"


@dataclass(frozen=True)
class ScoreRow:
    """One line of scores.csv: a picture and a metric. An empty value has its reason in `why`."""

    method: str
    identity: str
    prompt: str
    category: str
    sample: str
    metric: str
    encoder: str
    value: str
    why: str
    fingerprint: str
    """Digest of what the metric depends on; metrics.json spells it out."""


REAL: Final = "real (disjoint half)"


@dataclass(frozen=True)
class SetRow:
    """One line of sets.csv."""

    method: str
    metric: str
    encoder: str
    left_out: str
    """The identity left out, for the interval; empty for the whole set."""
    n: str
    """Pictures measured."""
    against: str
    """Real photographs they were held against."""
    value: str
    why: str
    fingerprint: str
