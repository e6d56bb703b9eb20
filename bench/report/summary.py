"""What `bench run` prints at its end: the main numbers, the ranking in words, and what a reader must know."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.set_columns import SetColumn
from bench.analysis.statistics import MIN_PEOPLE
from bench.markdown import bullets, counted
from bench.markdown import table as markdown_table
from bench.report.cell_text import entry_text, set_entry_text
from bench.report.markdown_report import head
from bench.report.standings import standings
from bench.report.terminal import DEFAULT_WIDTH
from bench.runs.no_effect import methods_without_effect
from bench.runs.records.tables import REAL_SAME

COLUMNS: Final = ("identity", "prompt-match", "fid")
"""The metrics of the main table, in this order; the first columns of the run where it has none of them."""
MOST_COLUMNS: Final = 4
MOST_REASONS: Final = 3
MOST_ROWS: Final = 20
"""More would not fit a screen."""


def summary(table: ComparisonTable, width: int = DEFAULT_WIDTH) -> str:
    """One screen; the main table has as many columns as fit the width."""
    columns = _main_columns(table)
    rows, left_out = _main_rows(table, columns)
    text = ""
    while columns:
        lines = [[row, *(_cell(column, row) for column in columns)] for row in rows]
        text = markdown_table(["method", *(column.column.heading for column in columns)], lines)
        if len(columns) == 1 or len(text.partition("\n")[0]) <= width:
            break
        columns = columns[:-1]
    more = f"{counted(left_out, 'more row')} in the report." if left_out else ""
    ranking = [line for column in table.image_columns if column in columns for line in _in_words(column)]
    parts = [head(table.run), text, more, bullets([*ranking, *_warnings(table)])]
    return "\n\n".join(part for part in parts if part)


def _main_columns(table: ComparisonTable) -> list[ImageColumn | SetColumn]:
    every: list[ImageColumn | SetColumn] = [*table.image_columns, *table.set_columns]
    found = [column for name in COLUMNS for column in every if column.column.name == name]
    if not found:
        return every[:MOST_COLUMNS]
    # A second network of one metric comes after the first of each other metric.
    first = list({column.column.name: column for column in reversed(found)}.values())[::-1]
    return [*first, *(column for column in found if column not in first)][:MOST_COLUMNS]


def _main_rows(table: ComparisonTable, columns: Sequence[ImageColumn | SetColumn]) -> tuple[list[str], int]:
    """The rows of the main table, the best ones of a run with many, and the number of the others."""
    run = table.run
    methods = run.methods
    if len(methods) > MOST_ROWS:
        ranked = [c.ranking for c in columns if isinstance(c, ImageColumn) and c.ranking]
        best = ranked[0] if ranked else methods
        kept = {*filter(run.is_baseline, methods), *best[: MOST_ROWS - 2]}
        methods = [label for label in methods if label in kept]
    return [*methods, REAL_SAME], len(run.methods) - len(methods)


def _cell(column: ImageColumn | SetColumn, row: str) -> str:
    if isinstance(column, ImageColumn):
        return entry_text(column.entry(row))
    return set_entry_text(column.entries.get(row))


def _in_words(column: ImageColumn) -> Iterator[str]:
    """`identity (sface): best tuned; not separable from it: close; worse: plain`."""
    if len(column.ranking) < 2:
        return
    title, found = column.column.title, standings(column)
    if all(contrast.difference.low is None for contrast in column.contrasts):
        yield f"{title}: by the means, {', '.join(column.ranking)}; no verdict below {MIN_PEOPLE} people"
        return
    best = [label for label in column.ranking if found.get(label) == "best"]
    near = [label for label in column.ranking if found.get(label) == "not separable from the best"]
    of_best = [c for c in column.contrasts if c.separable and best[0] in (c.one, c.other)]
    separable = {label for contrast in of_best for label in (contrast.one, contrast.other)}
    worse = [label for label in column.ranking if label in separable and label not in found]
    others = [label for label in column.ranking if label not in found and label not in worse]
    parts = [f"best {', '.join(best)}"]
    parts += [f"not separable from it: {', '.join(near)}"] if near else []
    parts += [f"worse: {', '.join(worse)}"] if worse else []
    parts += [f"too few people to compare: {', '.join(others)}"] if others else []
    yield f"{title}: {'; '.join(parts)}"


def _warnings(table: ComparisonTable) -> Iterator[str]:
    """Images that failed, methods without effect, and numbers that are not ranked."""
    run = table.run
    failed = sum(not cell.has_content for cell in run.cells)
    if failed:
        reasons = Counter(cell.no_score_reason for cell in run.cells if not cell.has_content)
        listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(MOST_REASONS))
        yield f"{failed} of {len(run.cells)} images failed or show nothing: {listed}"
    for label in methods_without_effect(run.scores, run.floor):
        yield f"{label} has NO EFFECT: each of its images equals that of {run.floor}"
    marked = [
        label
        for label in run.methods
        if any(column.entry(label).overlap is not None for column in table.image_columns)
    ]
    if marked:
        yield f"not ranked by all metrics (†, § or ‡, see the report): {', '.join(marked)}"
