"""Parts of the plots for papers, drawn with matplotlib."""

from collections.abc import Sequence
from typing import Any, Final

from bench.analysis.statistics import Estimate
from bench.errors import ReportError
from bench.report.drawing.labels import Label, is_far, placed
from bench.report.drawing.method_styles import MethodStyle
from bench.report.drawing.plot_points import PlotPoint, names

MARKERS: Final = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D"}
FONT: Final = 8.0
"""Points."""
LETTER: Final = 0.55 * FONT
"""Mean width of a letter."""


def empty_figure(size: tuple[float, float]) -> Any:
    """A figure of this size in inches. Raises ReportError without matplotlib."""
    try:
        from matplotlib import rcParams
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError("bench plot needs matplotlib; pip install 'personabench[plots]'") from error
    rcParams["svg.hashsalt"] = "personabench"
    rcParams["svg.fonttype"] = "none"
    return Figure(figsize=size, layout="constrained")


def add_axes(figure: Any, place: Any, x_title: str, y_title: str) -> Any:
    """Axes at a place of the figure's grid."""
    axes = figure.add_subplot(place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    axes.grid(color="0.93", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_title, fontsize=FONT)
    axes.set_ylabel(y_title, fontsize=FONT)
    return axes


def look(style: MethodStyle, *, hollow: bool = False) -> dict[str, Any]:
    """Colour and marker of a method; `hollow` for numbers that are not ranked."""
    fill = "white" if hollow else style.color
    return {"color": style.color, "marker": MARKERS[style.shape], "markersize": 5, "markerfacecolor": fill}


def error_bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths below and above the means; 0 where there is no interval."""
    below = [e.mean - e.low if e.low is not None else 0.0 for e in estimates]
    above = [e.high - e.mean if e.high is not None else 0.0 for e in estimates]
    return [below, above]


def label_points(figure: Any, axes: Any, points: Sequence[PlotPoint]) -> None:
    """Write the names of the points where they cover nothing; fixes the layout of the figure."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    box, scale = axes.get_window_extent(), 72 / figure.dpi
    wanted = []
    for point, name in zip(points, names(points), strict=True):
        across, upward = axes.transData.transform((point.x.mean, point.y.mean))
        at_left = across > box.x0 + 0.6 * box.width
        wanted.append(Label(across * scale, -upward * scale, name, LETTER, 1.25 * FONT, at_left))
    for label, moved in zip(wanted, placed(wanted, -box.y0 * scale), strict=True):
        leader = None
        if is_far(label, moved):
            end = (1.0, 0.5) if label.at_left else (0.0, 0.5)
            leader = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "relpos": end, "shrinkA": 0}
        axes.annotate(
            label.text,
            (label.x, -label.y),
            (moved.x + (-label.gap if label.at_left else label.gap), -moved.y),
            xycoords="figure points",
            textcoords="figure points",
            fontsize=FONT,
            ha="right" if label.at_left else "left",
            va="center",
            arrowprops=leader,
        )
