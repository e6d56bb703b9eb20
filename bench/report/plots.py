"""Plots of curves with their intervals: SVG, PDF or PNG by the file's suffix."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.curves.match_rates import MatchRateCurve, match_rate_curves
from bench.analysis.curves.sweeps import Curve, SweepPoint, curves
from bench.analysis.statistics import Estimate
from bench.atomic_io import write_whole
from bench.errors import ReportError
from bench.report.html.method_styles import MethodStyle, method_styles

SIZE: Final = (7.0, 4.5)
"""Inches."""
FALSE_MATCH_RATE: Final = "false-match-rate"
"""The name of the x axis of match-rate curves."""
LINE_STYLES: Final = {"circle": "-", "square": "--", "triangle": "-.", "diamond": (0, (1, 1))}
"""By the shape of a method's points."""
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
    figure = _match_rate_figure(table, y) if x == FALSE_MATCH_RATE else _curve_figure(table, x, y)
    buffer = io.BytesIO()
    # Without a date the file is the same at every call.
    figure.savefig(buffer, format=kind, metadata=None if kind == "png" else {DATE_KEYS[kind]: None})
    write_whole(path, buffer.getvalue())


def _curve_figure(table: ComparisonTable, x: str, y: str) -> Any:
    lines = [curve for curve in curves(table, x, y) if curve.points]
    if not lines:
        raise ReportError(f"{table.run.path}: no row has both {x} and {y}; sweep a setting with [[sweep]]")
    figure, axes = _figure()
    for curve in lines:
        _plot(axes, curve)
    axes.set_xlabel(x)
    axes.set_ylabel(f"{y} (95 % interval)")
    axes.legend(fontsize="small", frameon=False)
    return figure


def _match_rate_figure(table: ComparisonTable, y: str) -> Any:
    lines = match_rate_curves(table.column(y))
    if not lines:
        raise ReportError(
            f"{table.run.path}: {y} has no match rates; expected an identity metric with scores of "
            "photographs of other people"
        )
    figure, axes = _figure()
    styles = method_styles(table.run)
    for curve in lines:
        _plot_match_rates(axes, curve, styles.get(curve.label), dotted=curve.label == table.run.ceiling)
    axes.set_xscale("log")
    axes.set_xlim(right=1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false-match rate: share of photographs of other people above the threshold")
    axes.set_ylabel(f"match rate by {y}")
    axes.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _plot_match_rates(axes: Any, curve: MatchRateCurve, style: MethodStyle | None, *, dotted: bool) -> None:
    """A step at every threshold; black without a style."""
    # 0 has no place on a logarithmic axis.
    shown = curve.false_match_rates > 0
    axes.step(
        curve.false_match_rates[shown],
        curve.match_rates[shown],
        where="post",
        color=style.color if style else "black",
        linestyle="dotted" if dotted or style is None else LINE_STYLES[style.shape],
        linewidth=1.5,
        label=curve.label,
    )


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib import rcParams
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError("bench plot needs matplotlib; pip install 'personabench[plots]'") from error
    rcParams["svg.hashsalt"] = "personabench"
    rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plot(axes: Any, curve: Curve) -> None:
    xs, ys = [p.x.mean for p in curve.points], [p.y.mean for p in curve.points]
    axes.errorbar(
        xs,
        ys,
        xerr=_error_bars([p.x for p in curve.points]),
        yerr=_error_bars([p.y for p in curve.points]),
        marker="o",
        markersize=4,
        capsize=2,
        linewidth=1.5,
        elinewidth=0.7,
        label=curve.method,
    )
    if len(curve.points) > 1 and curve.points[0].x.low is not None:
        # Against another column, the axis does not show the setting of a point.
        for point in curve.points:
            position = (point.x.mean, point.y.mean)
            axes.annotate(_setting(point), position, fontsize=6, xytext=(3, 3), textcoords="offset points")


def _error_bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths below and above the means; 0 where there is no interval."""
    below = [e.mean - e.low if e.low is not None else 0.0 for e in estimates]
    above = [e.high - e.mean if e.high is not None else 0.0 for e in estimates]
    return [below, above]


def _setting(point: SweepPoint) -> str:
    return point.label.rpartition("=")[2]
