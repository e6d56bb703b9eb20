"""Plots with one point per row: the trade-off of two metrics, and cost against identity."""

from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.statistics import Estimate
from bench.markdown import number
from bench.report.drawing.method_styles import BASELINE_STYLE, method_styles
from bench.report.drawing.plot_points import (
    PlotPoint,
    differences_to_floor,
    ends,
    is_ranked,
    names,
    pareto_front,
    sweeps_of,
)
from bench.report.html.plots.svg import (
    WIDTH,
    Scale,
    axes,
    beside,
    figure,
    label_texts,
    linked,
    path,
    point,
    scale_over,
)

HEIGHT: Final = 400
LEFT: Final = 56
RIGHT: Final = WIDTH - 20
TOP: Final = 36
BOTTOM: Final = HEIGHT - 48
IMAGES: Final = 10
"""Images for which the costs are added up."""
INTERVALS: Final = "The interval of a point is shown while the pointer or the focus is on it."
HOLLOW: Final = "Hollow points are not ranked."


def trade_off(table: ComparisonTable, identity: ImageColumn, prompt: ImageColumn) -> str:
    """Identity against prompt match, both minus the floor; empty for fewer than two rows."""
    floor, points = table.run.floor, differences_to_floor(prompt, identity)
    if len(points) < 2:
        return ""
    titles = f"{prompt.column.title} minus {floor}", f"{identity.column.title} minus {floor}"
    zero = Estimate(0.0, None, None, 0)
    caption = (
        f"Paired differences to {floor}. Up and right is better. The dashed line is the Pareto front. "
        f"{INTERVALS} All intervals are in the plot of the differences. {HOLLOW}"
    )
    front = pareto_front(points, prompt, identity)
    shown = [*points, PlotPoint(floor, zero, zero, False)]
    return _scatter(table, shown, f"Trade-off: {identity.column.title}", caption, titles, front)


def cost_plot(table: ComparisonTable, identity: ImageColumn) -> str:
    """Identity against the seconds for a fit and ten images; empty for fewer than two rows."""
    points = []
    for label, costs in table.costs.items():
        mean = identity.entry(label).estimate
        seconds = (costs.fit_seconds or 0.0) + IMAGES * (costs.seconds_per_image or 0.0)
        # The ceiling copies photographs in no time.
        if mean and costs.seconds_per_image is not None and seconds > 0 and label != table.run.ceiling:
            cost = Estimate(seconds, None, None, 0)
            points.append(PlotPoint(label, cost, mean, is_ranked(label, identity)))
    if len(points) < 2:
        return ""
    caption = (
        f"Mean {identity.column.title} against the mean seconds of a fit plus {IMAGES} times the median "
        f"seconds of an image. {INTERVALS} {HOLLOW}"
    )
    titles = (f"seconds for a fit and {IMAGES} images", identity.column.title)
    return _scatter(table, points, f"Cost against {identity.column.title}", caption, titles, log=True)


def _scatter(
    table: ComparisonTable,
    points: Sequence[PlotPoint],
    title: str,
    caption: str,
    axis_titles: tuple[str, str],
    front: Sequence[PlotPoint] = (),
    *,
    log: bool = False,
) -> str:
    # Over the means, not the intervals: one wide interval would push all points together.
    x = scale_over([p.x.mean for p in points], LEFT, RIGHT, log=log)
    y = scale_over([p.y.mean for p in points], BOTTOM, TOP)
    content = [
        axes(x, y, *axis_titles),
        path([(x(p.x.mean), y(p.y.mean)) for p in front], "front"),
        *_curves(table, points, x, y),
        *(_mark(table, p, x, y) for p in points),
        label_texts(
            [
                beside(x(p.x.mean), y(p.y.mean), name, at_left=x(p.x.mean) > LEFT + 0.62 * (RIGHT - LEFT))
                for p, name in zip(points, names(points), strict=True)
            ],
            BOTTOM,
        ),
    ]
    return figure(title, caption, HEIGHT, "".join(content))


def _mark(table: ComparisonTable, found: PlotPoint, x: Scale, y: Scale) -> str:
    """The point, as a link that shows this method in the gallery, with its intervals."""
    style = method_styles(table.run).get(found.label, BASELINE_STYLE)
    (left, right), (low, high) = (
        (max(scale.low, one), min(scale.high, other))
        for scale, (one, other) in ((x, ends(found.x)), (y, ends(found.y)))
    )
    bars = path([(x(left), y(found.y.mean)), (x(right), y(found.y.mean))], "interval", style.color)
    bars += path([(x(found.x.mean), y(low)), (x(found.x.mean), y(high))], "interval", style.color)
    mark = point(x(found.x.mean), y(found.y.mean), style, hollow=not found.ranked)
    numbers = (number(e.mean, e.low, e.high) for e in (found.x, found.y))
    return linked(bars + mark, found.label, f"{found.label}: {', '.join(numbers)}")


def _curves(table: ComparisonTable, points: Sequence[PlotPoint], x: Scale, y: Scale) -> Iterator[str]:
    """Lines that join the rows of each sweep, in the order of the run."""
    for sweep in sweeps_of(points):
        color = method_styles(table.run)[sweep[0].label].color
        yield path([(x(p.x.mean), y(p.y.mean)) for p in sweep], "curve", color)
