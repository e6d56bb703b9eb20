"""Digests of a run's tables, so that a report never mixes the tables of two runs.

run.json holds those of cells.csv, fits.csv and metrics.json, and metrics.json those of scores.csv and
sets.csv.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from bench.errors import ReportError
from bench.runs.records.tables import CELLS, FITS, METRICS, SCORES, SETS

OF_RUN: Final = (CELLS, FITS, METRICS)
"""Files whose digests are in run.json; empty there from the start of a run to its end."""
OF_METRICS: Final = (SCORES, SETS)
"""Files whose digests are in metrics.json."""


def table_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Digest by file name; an absent or unreadable file is left out."""
    found = {name: _digest(folder / name) for name in names}
    return {name: digest for name, digest in found.items() if digest}


def are_unchanged(folder: Path, recorded: Any) -> bool:
    """Whether every recorded table is there as it was recorded; False where nothing is recorded."""
    return bool(recorded) and table_digests(folder, recorded) == dict(recorded)


def check_tables(folder: Path, recorded: Mapping[str, str] | None, *, omit: str = "") -> None:
    """Raise ReportError where a run has not ended, or a table other than `omit` is not the recorded one.

    None, in runs of version 0.1, is not checked.
    """
    if recorded is None:
        return
    if not recorded:
        raise ReportError(f"{folder}: a run was started here and has not ended; finish it with `bench run`")
    found = table_digests(folder, recorded)
    for name, digest in recorded.items():
        if name != omit and found.get(name) != digest:
            state = "has been changed or belongs to another run" if name in found else "cannot be read"
            raise ReportError(f"{folder}: {name} {state}; finish the run with `bench run`")


def _digest(path: Path) -> str:
    packed = path.with_name(f"{path.name}.gz")
    try:
        content = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error):
        return ""
    return hashlib.sha256(content).hexdigest()[:16]
