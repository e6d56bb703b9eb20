"""Numbers of unusable images: crashed, not generated, without content, without a face, with several faces.

Images of the subject and class images are counted apart: no face is looked for in class images.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import CellRow, ScoreRow
from bench.suite.prompts import PRIOR

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
    """By method and kind, the number of images of the subject; None where no metric counted faces."""
    counts = _outcomes(run, [cell for cell in run.cells if cell.category != PRIOR])
    return {method: {**counts[method], **_face_counts(run, method)} for method in run.methods if counts}


def class_image_failure_counts(run: FinishedRun) -> dict[str, dict[str, int | None]]:
    """By method and kind, the number of class images; empty in a run without class images."""
    cells = [cell for cell in run.cells if cell.category == PRIOR]
    return {method: found for method, found in _outcomes(run, cells).items() if found["pictures"]}


def _outcomes(run: FinishedRun, chosen: Sequence[CellRow]) -> dict[str, dict[str, int | None]]:
    """By method, the number of the chosen cells and of each outcome; empty without cells."""
    if not chosen:
        return {}
    numbers = Counter(cell.method for cell in chosen)
    outcomes = Counter((cell.method, outcome) for cell in chosen for outcome in (cell.status, cell.flaw))
    return {
        method: {
            "pictures": numbers[method],
            **{name: outcomes[method, kind] for kind, name in KINDS.items()},
        }
        for method in run.methods
    }


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
    # Tables of earlier versions contain scores of images without content, which have a column of their own.
    empty = {_place(cell) for cell in run.cells if cell.method == method and cell.flaw}
    rows = [row for row in run.scores_of(method, column) if row.value is not None]
    return sum(row.value == score and _place(row) not in empty for row in rows) if rows else None


def _place(row: CellRow | ScoreRow) -> tuple[str, str, int]:
    return row.identity, row.prompt, row.sample
