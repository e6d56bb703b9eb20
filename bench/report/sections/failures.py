"""Section of the report: unusable images and the reasons of failed cells."""

from collections import Counter

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.failures import FACE_COUNTERS, face_columns
from bench.markdown import bullets, counted
from bench.markdown import table as markdown_table
from bench.report.cell_text import value_text
from bench.runs.finished_run import FinishedRun


def failure_section(table: ComparisonTable) -> str:
    """One table for all methods, and the reasons of failed and missing cells."""
    counts = table.failures
    if not counts:
        return ""
    kinds = list(next(iter(counts.values())))
    lines = [[method, *(value_text(found[kind], "d") for kind in kinds)] for method, found in counts.items()]
    header = ["method", *("images" if kind == "pictures" else kind for kind in kinds)]
    parts = ["## Failures", _intro(table.run), markdown_table(header, lines), bullets(_reasons(table.run))]
    return "\n\n".join(part for part in parts if part)


def _intro(run: FinishedRun) -> str:
    text = "Crashed and not generated cells have no image; a nan, black or constant image has no content."
    absent = [f"`{name}`" for name, _ in FACE_COUNTERS if not face_columns(run, name)]
    return text + (f" Faces were not counted by {' and '.join(absent)}: not in the suite." if absent else "")


def _reasons(run: FinishedRun) -> list[str]:
    reasons = Counter((c.method, f"{c.status}: {c.reason}") for c in run.cells if c.status != "generated")
    return [
        f"{method}, {counted(count, 'cell')}: {reason}" for (method, reason), count in sorted(reasons.items())
    ]
