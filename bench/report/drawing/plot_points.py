"""Rows of the table as points of a plot: their numbers, their names, and the front of the best."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.curves.sweeps import SWEPT, method_of, value_of
from bench.analysis.statistics import Estimate

LONGEST_LABEL: Final = 28
TAIL: Final = 10
"""Characters at the end of a long label that are kept, such as those of a swept setting."""
MOST_NAMES: Final = 14
"""More points would have more labels than fit a plot."""


@dataclass(frozen=True)
class PlotPoint:
    """One row of the table in a plot."""

    label: str
    x: Estimate
    y: Estimate
    ranked: bool
    """Whether it may be on the front: no baseline, and independent of both metrics."""


def differences_to_floor(x: ImageColumn, y: ImageColumn) -> list[PlotPoint]:
    """Every method but the baselines, minus the floor by both metrics; empty in a run without a floor."""
    run = x.run
    return [
        PlotPoint(label, x.minus_floor[label], y.minus_floor[label], is_ranked(label, x, y))
        for label in run.methods
        if not run.is_baseline(label) and label in x.minus_floor and label in y.minus_floor
    ]


def means(x: ImageColumn, y: ImageColumn) -> list[PlotPoint]:
    """Every row that has a mean by both metrics."""
    found = [(label, x.entry(label).estimate, y.entry(label).estimate) for label in x.run.methods]
    return [
        PlotPoint(label, across, upward, is_ranked(label, x, y))
        for label, across, upward in found
        if across is not None and upward is not None
    ]


def is_ranked(label: str, *columns: ImageColumn) -> bool:
    """Whether every column with a direction ranks the row, and at least one does."""
    directed = [column for column in columns if column.column.better != "neither"]
    return bool(directed) and all(label in column.ranking for column in directed)


def pareto_front(points: Sequence[PlotPoint], x: ImageColumn, y: ImageColumn) -> list[PlotPoint]:
    """The ranked points that no other exceeds in both means, by falling `x`; empty without directions."""
    signs = {"higher": -1.0, "lower": 1.0}
    across, upward = (signs.get(column.column.better) for column in (x, y))
    if across is None or upward is None:
        return []
    front: list[PlotPoint] = []
    ranked = [point for point in points if point.ranked]
    for found in sorted(ranked, key=lambda p: (across * p.x.mean, upward * p.y.mean)):
        if not front or upward * found.y.mean < upward * front[-1].y.mean:
            front.append(found)
    return front


def sweeps_of(points: Sequence[PlotPoint]) -> list[list[PlotPoint]]:
    """The rows of each swept method and setting, by rising setting."""
    found: dict[tuple[str, str], list[PlotPoint]] = defaultdict(list)
    for point in points:
        if swept := SWEPT.fullmatch(point.label):
            found[swept["method"], swept["setting"]].append(point)
    return [
        sorted(sweep, key=lambda point: value_of(point.label, setting) or 0.0)
        for (_, setting), sweep in found.items()
        if len(sweep) > 1
    ]


def names(points: Sequence[PlotPoint]) -> list[str]:
    """The labels of the points. Of a sweep's points, only the first has its method's name.

    The others have their setting, or nothing where there are many points.
    """
    many, named, found = len(points) > MOST_NAMES, set[str](), []
    for point in points:
        swept, method = SWEPT.fullmatch(point.label), method_of(point.label)
        if not swept or (method not in named and not many):
            found.append(shortened(point.label))
        elif many:
            found.append("" if method in named else shortened(method))
        else:
            found.append(swept["value"])
        named.add(method)
    return found


def step_between(places: Sequence[float], count: int, most: float) -> float:
    """Distance, at most `most`, by which the points of `count` methods with the same setting are moved apart.

    The points stay closer to their own of the `places` of the settings, rising, than to the next.
    """
    if len(places) < 2 or count < 2:
        return most
    return min(most, 0.6 * min(other - one for one, other in pairwise(places)) / (count - 1))


def ends(estimate: Estimate) -> tuple[float, float]:
    """Both ends of the interval; without one, the mean for both."""
    low = estimate.mean if estimate.low is None else estimate.low
    high = estimate.mean if estimate.high is None else estimate.high
    return low, high


def shortened(label: str) -> str:
    """The label, without its middle where it would be too long for a plot."""
    if len(label) <= LONGEST_LABEL:
        return label
    return f"{label[: LONGEST_LABEL - TAIL - 1]}…{label[-TAIL:]}"
