"""Plot of the ranking of the methods by each face network."""

from collections.abc import Sequence
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.markdown import number
from bench.report.drawing.method_styles import method_styles
from bench.report.drawing.plot_points import shortened
from bench.report.html.plots.svg import LETTER, WIDTH, figure, linked, path, point, text

LINE: Final = 26
TOP: Final = 40


def agreement_plot(table: ComparisonTable) -> str:
    """Each method's rank by every face network; empty for fewer than two networks or methods."""
    compared = [one.title for pair in table.rank_agreements for one in (pair.one, pair.other)]
    columns = [column for column in table.image_columns if column.column.title in compared]
    methods = [label for label in table.run.methods if all(label in column.ranking for column in columns)]
    if len(columns) < 2 or len(methods) < 2:
        return ""
    names = {label: shortened(label) for label in methods}
    margin = min(210.0, 22 + LETTER * max(map(len, names.values())))
    step = (WIDTH - 2 * margin) / (len(columns) - 1)
    parts = [
        text(margin + step * i, 18, column.column.title, "title middle") for i, column in enumerate(columns)
    ]
    ranks = {label: _ranks(columns, methods, label) for label in methods}
    for label, own in ranks.items():
        at = [(margin + step * i, TOP + LINE * (rank - 0.5)) for i, rank in enumerate(own)]
        parts.append(_line(table, columns, label, own, at))
        parts.append(text(at[0][0] - 14, at[0][1] + 4, f"{names[label]} {own[0]}", "label end"))
        parts.append(text(at[-1][0] + 14, at[-1][1] + 4, f"{own[-1]} {names[label]}", "label"))
    caption = (
        f"Ranks by the mean, best first, of the methods that all networks rank. {_pairs(table)} Kendall's "
        "tau-b counts near ties too; neighbours that are not separable may change places by chance."
    )
    return figure("Do the face networks agree?", caption, TOP + LINE * len(methods) + 10, "".join(parts))


def _line(
    table: ComparisonTable,
    columns: Sequence[ImageColumn],
    label: str,
    ranks: Sequence[int],
    at: Sequence[tuple[float, float]],
) -> str:
    style = method_styles(table.run)[label]
    named = [f"rank {rank} by {column.column.title}" for rank, column in zip(ranks, columns, strict=True)]
    marks = path(at, "curve", style.color) + "".join(point(*place, style) for place in at)
    return linked(marks, label, f"{label}: {', '.join(named)}")


def _ranks(columns: Sequence[ImageColumn], methods: Sequence[str], label: str) -> list[int]:
    """By column, the place of a method among `methods`, from 1."""
    return [[m for m in column.ranking if m in methods].index(label) + 1 for column in columns]


def _pairs(table: ComparisonTable) -> str:
    """For every two networks, how often they have the same order."""
    found = []
    for pair in table.rank_agreements:
        tau = "" if pair.tau is None else f"; tau-b {number(pair.tau)}"
        found.append(
            f"{pair.one.title} and {pair.other.title}: the same order in {pair.agreeing} of the "
            f"{pair.separable} pairs that both separate{tau}."
        )
    return " ".join(found)
