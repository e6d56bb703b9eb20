"""Plots for papers: a metric against a swept setting or another metric, as SVG, PDF or PNG."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.curves.sweeps import Curve, curves, swept_settings
from bench.analysis.statistics import Estimate
from bench.atomic_io import write_whole
from bench.errors import ReportError
from bench.report.drawing.match_rate_figure import match_rate_figure
from bench.report.drawing.matplotlib_parts import FONT, add_axes, empty_figure, error_bars, label_points, look
from bench.report.drawing.method_styles import BASELINE_STYLE, MethodStyle, method_styles
from bench.report.drawing.plot_points import (
    PlotPoint,
    differences_to_floor,
    ends,
    is_ranked,
    means,
    pareto_front,
    shortened,
    step_between,
    sweeps_of,
)

SIZE: Final = (7.0, 4.0)
"""Inches."""
WIDE: Final = (10.0, 4.0)
LINE: Final = 0.17
"""Inches of height for each row of the table, where there are many."""
STEP: Final = 5.0
"""Most points between the intervals of two methods with the same setting."""
FALSE_MATCH_RATE: Final = "false-match-rate"
"""The name of the x axis of match-rate curves."""
DATE_KEYS: Final = {"svg": "Date", "pdf": "CreationDate"}
"""The metadata key of the creation date in each format."""


def write_plot(table: ComparisonTable, x: str, y: str, path: Path) -> None:
    """Plot column `y` against `x`, and write the file.

    `x` is a swept setting, another column, or `false-match-rate`: then the match rates of `y` are plotted.
    Raises ReportError where a name is unknown, there is no curve, matplotlib is missing, or the suffix is
    not supported.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in ("png", *DATE_KEYS):
        raise ReportError(f"{path}: unknown suffix {path.suffix!r}; expected .svg, .pdf or .png")
    if x == FALSE_MATCH_RATE:
        figure = match_rate_figure(table.column(y), y)
    elif x in swept_settings(table.run):
        figure = _sweep(table, x, y)
    else:
        figure = _two_metrics(table, _other_metric(table, x), table.column(y))
    buffer = io.BytesIO()
    # Without a date the file is the same at every call.
    figure.savefig(buffer, format=kind, dpi=150, metadata=None if kind == "png" else {DATE_KEYS[kind]: None})
    write_whole(path, buffer.getvalue())


def _other_metric(table: ComparisonTable, x: str) -> ImageColumn:
    """The column `x`. Raises ReportError that also names what else the x axis may show."""
    try:
        return table.column(x)
    except ReportError as error:
        others = ", ".join([FALSE_MATCH_RATE, *swept_settings(table.run)])
        raise ReportError(f"{error}; besides metrics, x may be {others}") from error


def _sweep(table: ComparisonTable, setting: str, y: str) -> Any:
    """One line per method, hollow if it is not ranked; the intervals of one setting are side by side."""
    lines = curves(table, setting, y)
    if not lines:
        raise ReportError(f"{table.run.path}: no row with {setting} has a score by {y}; choose another --y")
    figure = empty_figure(SIZE)
    axes = add_axes(figure, 111, setting, f"{y} (95 % interval)")
    settings = sorted({point.x.mean for curve in lines for point in curve.points})
    # Points that are moved apart do not count for the limits that matplotlib would choose.
    axes.set_xlim(*_padded(settings))
    axes.set_ylim(*_padded([end for curve in lines for point in curve.points for end in ends(point.y)]))
    figure.draw_without_rendering()
    places = [axes.transData.transform((value, 0))[0] * 72 / figure.dpi for value in settings]
    step = step_between(places, len(lines), STEP)
    for i, curve in enumerate(lines):
        first = curve.points[0].label
        marks = look(method_styles(table.run)[first], hollow=not is_ranked(first, table.column(y)))
        _curve(figure, axes, curve, marks, step * (i - (len(lines) - 1) / 2))
    axes.legend(fontsize=FONT, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _curve(figure: Any, axes: Any, curve: Curve, marks: Mapping[str, Any], shift: float) -> None:
    """A method's means and intervals, moved by `shift` points."""
    from matplotlib.transforms import ScaledTranslation

    ys = [point.y for point in curve.points]
    axes.errorbar(
        [point.x.mean for point in curve.points],
        [estimate.mean for estimate in ys],
        yerr=error_bars(ys),
        transform=axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans),
        **marks,
        linewidth=1,
        elinewidth=1.2,
        label=curve.method,
    )


def _two_metrics(table: ComparisonTable, x: ImageColumn, y: ImageColumn) -> Any:
    """Two metrics minus the floor's, and beside that plot the intervals, which would cross in it.

    Without a floor, the means themselves.
    """
    points, minus = differences_to_floor(x, y), f"minus {table.run.floor}"
    if not points:
        points, minus = means(x, y), ""
    if not points:
        raise ReportError(
            f"{table.run.path}: no row has scores by both {x.column.title} and {y.column.title}; "
            "choose another --x or --y"
        )
    figure = empty_figure((WIDE[0], max(WIDE[1], LINE * len(points))))
    grid = figure.add_gridspec(1, 3, width_ratios=(2.4, 1, 1))
    titles = [f"{column.column.heading}\n{minus}".strip() for column in (x, y)]
    scatter, styles = add_axes(figure, grid[0], *titles), method_styles(table.run)
    first = _intervals(figure, grid[1], points, [p.y for p in points], styles, titles[1])
    first.set_yticks(range(len(points)), [shortened(p.label) for p in points])
    second = _intervals(figure, grid[2], points, [p.x for p in points], styles, titles[0])
    second.set_yticks(range(len(points)), [])
    shown = points
    if minus:
        zero = Estimate(0.0, None, None, 0)
        shown = [*points, PlotPoint(table.run.floor, zero, zero, False)]
    _scatter(scatter, shown, styles)
    front = pareto_front(points, x, y)
    scatter.plot([p.x.mean for p in front], [p.y.mean for p in front], color="0.5", linestyle="--", zorder=1)
    label_points(figure, scatter, shown)
    return figure


def _scatter(axes: Any, points: Sequence[PlotPoint], styles: Mapping[str, MethodStyle]) -> None:
    axes.margins(0.12)
    for sweep in sweeps_of(points):
        color = styles.get(sweep[0].label, BASELINE_STYLE).color
        axes.plot([p.x.mean for p in sweep], [p.y.mean for p in sweep], color=color, linewidth=0.8)
    for point in points:
        style = styles.get(point.label, BASELINE_STYLE)
        axes.plot([point.x.mean], [point.y.mean], **look(style, hollow=not point.ranked))


def _intervals(
    figure: Any,
    place: Any,
    points: Sequence[PlotPoint],
    estimates: Sequence[Estimate],
    styles: Mapping[str, MethodStyle],
    title: str,
) -> Any:
    """One line per row of the table with its interval."""
    from matplotlib.ticker import MaxNLocator

    axes = add_axes(figure, place, title, "")
    for i, (point, found) in enumerate(zip(points, estimates, strict=True)):
        shown = look(styles[point.label], hollow=not point.ranked)
        axes.errorbar([found.mean], [i], xerr=error_bars([found]), elinewidth=1.2, **shown)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    return axes


def _padded(values: Sequence[float]) -> tuple[float, float]:
    margin = 0.08 * (max(values) - min(values)) or 0.5
    return min(values) - margin, max(values) + margin
