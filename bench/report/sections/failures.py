"""Pictures that are none: crashed, black, NaN, constant, without a face, or with several, for each method."""

from collections import Counter
from typing import Final

from bench.analysis.comparisons import picture_columns, values_of
from bench.markdown import bullets, counted, dash, table
from bench.runs.finished_run import Column, FinishedRun

FLAWS: Final = ("nan", "black", "constant")
NO_FACE: Final = ("detected", 0.0)
SEVERAL: Final = ("multi-face", 1.0)


def failure_counts(run: FinishedRun) -> dict[str, dict[str, int | None]]:
    """By method and kind, how many pictures went wrong; None where no metric looked."""
    finders = [(c, value) for name, value in (NO_FACE, SEVERAL) for c in _named(run, name)]
    found: dict[str, dict[str, int | None]] = {}
    for method in run.methods:
        cells = [cell for cell in run.cells if cell.method == method]
        by_status = Counter(cell.status for cell in cells)
        by_flaw = Counter(cell.flaw for cell in cells)
        found[method] = {"pictures": len(cells), "crashed": by_status["failed"]}
        found[method] |= {"not generated": by_status["missing"], **{flaw: by_flaw[flaw] for flaw in FLAWS}}
        found[method] |= {_title(column): _count(run, method, column, value) for column, value in finders}
    return found


def failures(run: FinishedRun) -> str:
    """One table for all methods, and what was said where cells crashed."""
    counts = failure_counts(run)
    if not counts:
        return ""
    kinds = list(next(iter(counts.values())))
    lines = [[m, *(_shown(counts[m][kind]) for kind in kinds)] for m in counts]
    reasons = Counter((c.method, f"{c.status}: {c.reason}") for c in run.cells if c.status != "generated")
    said = [f"{m}, {counted(count, 'cell')}: {reason}" for (m, reason), count in sorted(reasons.items())]
    parts = ["## Failures", _intro(run), table(["method", *kinds], lines), bullets(said)]
    return "\n\n".join(part for part in parts if part)


def _intro(run: FinishedRun) -> str:
    text = "Cells that crashed or were not drawn have no picture; a nan, black or constant one shows nothing."
    absent = [f"`{name}`" for name, _ in (NO_FACE, SEVERAL) if not _named(run, name)]
    return text + (f" Faces were not counted by {' and '.join(absent)}: not in the suite." if absent else "")


def _named(run: FinishedRun, name: str) -> list[Column]:
    return [column for column in picture_columns(run) if column.name == name]


def _title(column: Column) -> str:
    words = {NO_FACE[0]: "no face", SEVERAL[0]: "several faces"}
    return f"{words[column.name]} ({column.encoder})"


def _count(run: FinishedRun, method: str, column: Column, value: float) -> int | None:
    """Pictures to which the finder gave this answer."""
    values = values_of(run.scores_of(method, column))
    return values.count(value) if values else None


def _shown(count: int | None) -> str:
    return dash() if count is None else str(count)
