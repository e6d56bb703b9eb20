"""The best row of a column, and the rows that are not separable from it."""

from typing import Literal

from bench.analysis.columns import ImageColumn

Standing = Literal["best", "not separable from the best"]


def standings(column: ImageColumn) -> dict[str, Standing]:
    """By label, the best method of a column, those with the same mean, and those not separable from it.

    Empty where fewer than two methods are ranked. Without intervals, no verdict is given.
    """
    if len(column.ranking) < 2:
        return {}
    best = column.ranking[0]
    found: dict[str, Standing] = {best: "best"}
    for contrast in column.contrasts:
        if best not in (contrast.one, contrast.other):
            continue
        other = contrast.other if contrast.one == best else contrast.one
        if contrast.difference.mean == 0:
            found[other] = "best"
        elif contrast.difference.low is not None and not contrast.separable:
            found[other] = "not separable from the best"
    return found
