"""The known run in two parts, as if its methods had been run apart."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from known_run import known_run

from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, REAL_SET

FIRST = ("text-only", "tuned")
SECOND = ("photo-copy", "close", "leaky")
REAL = (REAL_SAME, REAL_OTHER, REAL_SET)


def part(path: Path, methods: Collection[str], ended: str = "") -> FinishedRun:
    """The rows of these methods and of real photographs."""
    run = known_run()
    about = {name: record for name, record in run.manifest.methods.items() if name in methods}
    return replace(
        run,
        path=path,
        manifest=replace(run.manifest, methods=about, ended=ended),
        cells=tuple(row for row in run.cells if row.method in methods),
        fits=tuple(row for row in run.fits if row.method in methods),
        scores=tuple(row for row in run.scores if row.method in (*methods, *REAL)),
        sets=tuple(row for row in run.sets if row.method in (*methods, *REAL)),
    )


def two_parts(folder: Path = Path()) -> list[FinishedRun]:
    """Two runs of different methods."""
    return [
        part(folder / "one", FIRST, "2026-01-02T10:00:00+00:00"),
        part(folder / "two", SECOND, "2026-03-04T10:00:00+00:00"),
    ]
