"""Curves with their intervals as a picture, for papers: SVG, PDF or PNG by the file's ending."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.analysis.statistics import Estimate
from bench.atomic_io import write_whole
from bench.errors import ReportError
from bench.report.sections.sweeps import Curve, SweepPoint, curves
from bench.runs.finished_run import FinishedRun

SIZE = (7.0, 4.5)
"""Inches."""
DATES = {"svg": "Date", "pdf": "CreationDate"}
"""Where each kind of file would note the hour it was drawn."""


def write_plot(run: FinishedRun, x: str, y: str, path: Path) -> None:
    """Draw column `y` against `x`, a swept setting or another column, and write the picture.

    Raises ReportError where a name is unknown, there is no curve, matplotlib is missing, or the ending of the
    file is none it knows.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in ("png", *DATES):
        raise ReportError(f"{path}: unknown kind {path.suffix!r}; end it in .svg, .pdf or .png")
    lines = [curve for curve in curves(run, x, y) if curve.points]
    if not lines:
        raise ReportError(f"{run.path}: no row has both {x} and {y}; sweep a setting with [[sweep]]")
    figure, axes = _figure()
    for curve in lines:
        _draw(axes, curve)
    axes.set_xlabel(x)
    axes.set_ylabel(f"{y} (95 % interval)")
    axes.legend(fontsize="small", frameon=False)
    drawn = io.BytesIO()
    # A date in the file would make every drawing a new one.
    figure.savefig(drawn, format=kind, metadata=None if kind == "png" else {DATES[kind]: None})
    write_whole(path, drawn.getvalue())


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


def _draw(axes: Any, curve: Curve) -> None:
    xs, ys = [p.x.mean for p in curve.points], [p.y.mean for p in curve.points]
    axes.errorbar(
        xs,
        ys,
        xerr=_arms([p.x for p in curve.points]),
        yerr=_arms([p.y for p in curve.points]),
        marker="o",
        markersize=4,
        capsize=2,
        linewidth=1.5,
        elinewidth=0.7,
        label=curve.method,
    )
    if len(curve.points) > 1 and curve.points[0].x.low is not None:
        # Against another column, a point does not say by itself which setting it is.
        for point in curve.points:
            place = (point.x.mean, point.y.mean)
            axes.annotate(_value(point), place, fontsize=6, xytext=(3, 3), textcoords="offset points")


def _arms(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths below and above the means; none where there is no interval."""
    below = [e.mean - e.low if e.low is not None else 0.0 for e in estimates]
    above = [e.high - e.mean if e.high is not None else 0.0 for e in estimates]
    return [below, above]


def _value(point: SweepPoint) -> str:
    return point.label.rpartition("=")[2]
