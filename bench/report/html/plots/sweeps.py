"""Plots of a metric against a swept setting, the intervals of the methods side by side."""

from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.curves.sweeps import Curve, curves, swept_settings
from bench.markdown import number
from bench.report.drawing.method_styles import MethodStyle, method_styles
from bench.report.drawing.plot_points import ends, is_ranked, shortened, step_between
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

HEIGHT: Final = 360
LEFT: Final = 56
LABELS: Final = 190
"""Room for the labels at the right."""
TOP: Final = 36
BOTTOM: Final = HEIGHT - 48
STEP: Final = 8.0
"""Most units between the points of two methods with the same setting."""


def sweep_plots(table: ComparisonTable, columns: Sequence[ImageColumn]) -> Iterator[str]:
    """One plot for each swept setting and metric."""
    for setting in swept_settings(table.run):
        for column in columns:
            found = curves(table, setting, column.column.qualified_name)
            if any(len(curve.points) > 1 for curve in found):
                yield _plot(table, column, setting, found)


def _plot(table: ComparisonTable, column: ImageColumn, setting: str, found: Sequence[Curve]) -> str:
    points = [p for curve in found for p in curve.points]
    x = scale_over([p.x.mean for p in points], LEFT, WIDTH - LABELS)
    y = scale_over([end for p in points for end in ends(p.y)], BOTTOM, TOP)
    settings = [x(value) for value in sorted({p.x.mean for p in points})]
    step = step_between(settings, len(found), STEP)
    parts, last = [axes(x, y, setting, column.column.heading)], []
    for i, curve in enumerate(found):
        shift = step * (i - (len(found) - 1) / 2)
        style = method_styles(table.run)[curve.points[0].label]
        at = [(x(p.x.mean) + shift, y(p.y.mean)) for p in curve.points]
        parts.append(path(at, "curve", style.color))
        parts += _points(column, curve, at, style, y)
        last.append(beside(WIDTH - LABELS, at[-1][1], shortened(curve.method)))
    caption = (
        "Mean with its 95 % interval. The points of one setting are moved apart, so that no interval covers "
        "another. Lines join the settings of one method; hollow points are not ranked."
    )
    title = f"{column.column.title} by {setting}"
    return figure(title, caption, HEIGHT, "".join(parts) + label_texts(last, BOTTOM))


def _points(
    column: ImageColumn, curve: Curve, at: Sequence[tuple[float, float]], style: MethodStyle, y: Scale
) -> Iterator[str]:
    for found, (across, upward) in zip(curve.points, at, strict=True):
        low, high = ends(found.y)
        bar = path([(across, y(low)), (across, y(high))], "bar", style.color)
        mark = point(across, upward, style, hollow=not is_ranked(found.label, column))
        described = f"{found.label}: {number(found.y.mean, found.y.low, found.y.high)}"
        yield linked(bar + mark, found.label, described)
