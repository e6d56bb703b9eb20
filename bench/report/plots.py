"""Plots of curves with their intervals: SVG, PDF or PNG by the file's suffix."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.statistics import Estimate
from bench.analysis.sweeps import Curve, SweepPoint, curves
from bench.atomic_io import write_whole
from bench.errors import ReportError

SIZE: Final = (7.0, 4.5)
"""Inches."""
DATE_KEYS: Final = {"svg": "Date", "pdf": "CreationDate"}
"""The metadata key of the creation date in each format."""


def write_plot(table: ComparisonTable, x: str, y: str, path: Path) -> None:
    """Plot column `y` against `x`, a swept setting or another column, and write the file.

    Raises ReportError where a name is unknown, there is no curve, matplotlib is missing, or the suffix is
    not supported.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in ("png", *DATE_KEYS):
        raise ReportError(f"{path}: unknown suffix {path.suffix!r}; expected .svg, .pdf or .png")
    lines = [curve for curve in curves(table, x, y) if curve.points]
    if not lines:
        raise ReportError(f"{table.run.path}: no row has both {x} and {y}; sweep a setting with [[sweep]]")
    figure, axes = _figure()
    for curve in lines:
        _plot(axes, curve)
    axes.set_xlabel(x)
    axes.set_ylabel(f"{y} (95 % interval)")
    axes.legend(fontsize="small", frameon=False)
    buffer = io.BytesIO()
    # Without a date the file is the same at every call.
    figure.savefig(buffer, format=kind, metadata=None if kind == "png" else {DATE_KEYS[kind]: None})
    write_whole(path, buffer.getvalue())


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
