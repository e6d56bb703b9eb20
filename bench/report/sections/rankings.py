"""Sections of the report: methods from best to worst, and every method against every other."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.contrasts import Contrast, Verdict
from bench.markdown import bullets
from bench.markdown import table as markdown_table

SIGNS: Final[Mapping[Verdict, str]] = {"above": ">", "below": "<", "not separable": "~"}


def ranking_section(table: ComparisonTable) -> str:
    """Methods from best to worst by each metric, with `~` where neighbours are not separable."""
    columns = [c for c in [*table.image_columns, *table.prior_columns] if len(c.ranking) > 1]
    if not columns:
        return ""
    lines = [
        [c.column.title, _order(c.ranking, c.contrasts), _order(c.ranking, c.contrasts_with_fixed_prompts)]
        for c in columns
    ]
    intro = (
        "Best first. `>` joins neighbours that are separable, `~` those that are not (paired, Holm's "
        "correction over all pairs at 5 %). A missing score counts as the worst score of its column. The "
        "first order is what holds for other people and prompts; the second takes these prompts as given."
    )
    header = ["metric", "order: people and prompts vary", "order: prompts fixed"]
    notes = [note for c in columns if (note := _order_note(c))]
    parts = ["## Ranking", intro, markdown_table(header, lines), bullets(notes)]
    return "\n\n".join(part for part in parts if part)


def _order(ranking: Sequence[str], contrasts: Sequence[Contrast]) -> str:
    separable = {frozenset((c.one, c.other)) for c in contrasts if c.separable}
    text = ranking[0]
    for one, other in pairwise(ranking):
        text += f" {'>' if frozenset((one, other)) in separable else '~'} {other}"
    return text


def _order_note(column: ImageColumn) -> str:
    """Where missing scores change the order."""
    if column.order_of_means == column.ranking:
        return ""
    return f"{column.column.title}: by the scores that exist, the order is {', '.join(column.order_of_means)}"


def pairwise_section(table: ComparisonTable) -> str:
    """Every ranked method against every other, also those that are no neighbours."""
    parts = []
    for column in table.image_columns:
        if column.column.name != "identity" or len(column.ranking) < 3:
            continue
        signs = {(c.one, c.other): SIGNS[c.verdict] for c in column.contrasts}
        swapped = {">": "<", "<": ">", "~": "~"}
        signs |= {(other, one): swapped[sign] for (one, other), sign in signs.items()}
        pairs = {c.difference.n for c in column.contrasts}
        lines = [
            [f"{place}. {one}", *(signs.get((one, other), "") for other in column.ranking)]
            for place, one in enumerate(column.ranking, start=1)
        ]
        header = [f"{column.column.title}, n = {_span(pairs)} pairs", *map(str, range(1, len(lines) + 1))]
        parts.append(markdown_table(header, lines))
    if not parts:
        return ""
    intro = (
        "`>`: the method of the row has the higher mean, `<`: the lower, `~`: not separable. The differences "
        "with their intervals are in the JSON report (`contrasts`)."
    )
    return "\n\n".join(["## Pairwise comparisons", intro, *parts])


def _span(numbers: Collection[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
