"""Section of the report: unusable images and the reasons of failed cells."""

from collections import Counter
from collections.abc import Mapping

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.failures import FACE_COUNTERS, class_image_failure_counts, face_columns
from bench.markdown import bullets, counted
from bench.markdown import table as markdown_table
from bench.report.cell_text import value_text
from bench.runs.finished_run import FinishedRun


def failure_section(table: ComparisonTable) -> str:
    """A table of images of the subject, one of class images, and the reasons of failed and missing cells."""
    run = table.run
    tables = [
        _table(table.failures, "images of the subject"),
        _table(class_image_failure_counts(run), "class images"),
    ]
    if not any(tables):
        return ""
    return "\n\n".join(part for part in ("## Failures", _intro(run), *tables, bullets(_reasons(run))) if part)


def _table(counts: Mapping[str, Mapping[str, int | None]], images: str) -> str:
    """One row per method; all counts of a row are of the images in its first column."""
    if not counts:
        return ""
    kinds = list(next(iter(counts.values())))
    lines = [[method, *(value_text(found[kind], "d") for kind in kinds)] for method, found in counts.items()]
    return markdown_table(["method", *(images if kind == "pictures" else kind for kind in kinds)], lines)


def _intro(run: FinishedRun) -> str:
    text = (
        "Crashed and not generated cells have no image; a nan, black or constant image has no content and no "
        "scores. All counts of a row are of the images in its first column."
    )
    absent = [f"`{name}`" for name, _ in FACE_COUNTERS if not face_columns(run, name)]
    return text + (f" Faces were not counted by {' and '.join(absent)}: not in the suite." if absent else "")


def _reasons(run: FinishedRun) -> list[str]:
    reasons = Counter((c.method, f"{c.status}: {c.reason}") for c in run.cells if c.status != "generated")
    return [
        f"{method}, {counted(count, 'cell')}: {reason}" for (method, reason), count in sorted(reasons.items())
    ]
