"""Numbers of unusable images: crashed, not generated, without content, without a face, with several faces."""

from typing import Any, Final

from bench.analysis.comparisons import scored
from bench.analysis.frames import frame
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.tables import CellRow

NO_FACE: Final = ("detected", 0.0)
"""Metric and score of an image without a face."""
SEVERAL_FACES: Final = ("multi-face", 1.0)
FACE_COUNTERS: Final = {NO_FACE: "no face", SEVERAL_FACES: "several faces"}
KINDS: Final = {
    "failed": "crashed",
    "missing": "not generated",
    "nan": "nan",
    "black": "black",
    "constant": "constant",
}
"""Status or flaw of a cell, and its name in the table."""


def failure_counts(run: FinishedRun) -> dict[str, dict[str, int | None]]:
    """By method and kind, the number of images; None where no metric counted faces."""
    import pandas as pd

    cells = frame(run.cells, CellRow)
    outcomes = pd.concat([pd.crosstab(cells["method"], cells[name]) for name in ("status", "flaw")], axis=1)
    counts = outcomes.reindex(index=run.methods, columns=list(KINDS), fill_value=0).rename(columns=KINDS)
    counts.insert(0, "pictures", cells["method"].value_counts())
    records: dict[Any, Any] = counts.to_dict("index")
    return {method: {**records[method], **_face_counts(run, method)} for method in run.methods}


def face_columns(run: FinishedRun, name: str) -> list[Column]:
    """The columns of a metric that counts faces."""
    return [column for column in run.columns if column.of == "pictures" and column.name == name]


def _face_counts(run: FinishedRun, method: str) -> dict[str, int | None]:
    return {
        f"{kind} ({column.encoder})": _count(run, method, column, score)
        for (name, score), kind in FACE_COUNTERS.items()
        for column in face_columns(run, name)
    }


def _count(run: FinishedRun, method: str, column: Column, score: float) -> int | None:
    values = [value for _, value in scored(run.scores_of(method, column))]
    return values.count(score) if values else None
