"""Figure of the match rates of an identity metric over all thresholds."""

from typing import Any, Final

from bench.analysis.columns import ImageColumn
from bench.analysis.curves.match_rates import MatchRateCurve, match_rate_curves
from bench.errors import ReportError
from bench.report.drawing.matplotlib_parts import FONT, add_axes, empty_figure
from bench.report.drawing.method_styles import MethodStyle, method_styles

SIZE: Final = (7.0, 4.5)
"""Inches."""
LINE_STYLES: Final = {"circle": "-", "square": "--", "triangle": "-.", "diamond": (0, (1, 1))}
"""By the shape of a method's points."""


def match_rate_figure(column: ImageColumn, name: str) -> Any:
    """One step curve per method; `name` is the column's. Raises ReportError where it has no match rates."""
    run, lines = column.run, match_rate_curves(column)
    if not lines:
        raise ReportError(
            f"{run.path}: {name} has no match rates; expected an identity metric with scores "
            "of photographs of other people"
        )
    figure, styles = empty_figure(SIZE), method_styles(run)
    x_title = "false-match rate: share of photographs of other people above the threshold"
    axes = add_axes(figure, 111, x_title, f"match rate by {name}")
    for curve in lines:
        _plot_match_rates(axes, curve, styles.get(curve.label), dotted=curve.label == run.ceiling)
    axes.set_xscale("log")
    axes.set_xlim(right=1)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=FONT, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
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
