"""The best row of a column, and the rows that are not separable from it."""

from typing import Literal

from bench.analysis.columns import ImageColumn, SetColumn
from bench.markdown import number

Standing = Literal["best", "not separable from the best"]


def standings(column: ImageColumn | SetColumn) -> dict[str, Standing]:
    """By label, the best ranked method of a column, its ties, and those not separable from it.

    A tie is a difference that is printed as 0. Empty where fewer than two methods are ranked. Scores of sets
    are not compared in pairs, so nothing is said to be inseparable; nor is it without intervals.
    """
    if isinstance(column, SetColumn):
        return _best_sets(column)
    if len(column.ranking) < 2:
        return {}
    best = column.ranking[0]
    found: dict[str, Standing] = {best: "best"}
    for contrast in column.contrasts:
        if best not in (contrast.one, contrast.other):
            continue
        other = contrast.other if contrast.one == best else contrast.one
        if number(abs(contrast.difference.mean)) == number(0.0):
            found[other] = "best"
        elif contrast.difference.low is not None and not contrast.separable:
            found[other] = "not separable from the best"
    return found


def _best_sets(column: SetColumn) -> dict[str, Standing]:
    values = {
        label: entry.value
        for label, entry in column.entries.items()
        if label in column.run.methods
        and not column.run.is_baseline(label)
        and entry.value is not None
        and entry.overlap is None
    }
    choose = {"higher": max, "lower": min}.get(column.column.better)
    if choose is None or len(values) < 2:
        return {}
    best = number(choose(values.values()))
    return {label: "best" for label, value in values.items() if number(value) == best}
