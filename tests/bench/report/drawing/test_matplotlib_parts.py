"""Parts of the plots for papers."""

from itertools import combinations

import pytest

from bench.analysis.statistics import Estimate
from bench.report.drawing.matplotlib_parts import add_axes, empty_figure, error_bars, label_points
from bench.report.drawing.plot_points import PlotPoint


def test_names_of_close_points_cover_neither_one_another_nor_a_point() -> None:
    Text = pytest.importorskip("matplotlib.text").Text
    points = [
        PlotPoint(f"method-{i}", Estimate(i / 100, None, None, 1), Estimate(0.5, None, None, 1), True)
        for i in range(5)
    ]
    figure = empty_figure((6, 4))
    axes = add_axes(figure, 111, "x", "y")
    axes.plot([0, 1], [0, 1], alpha=0)
    label_points(figure, axes, points)
    figure.draw_without_rendering()
    assert [one.get_text() for one in axes.texts] == [point.label for point in points]
    # Without the lines that lead to the points.
    boxes = [Text.get_window_extent(one) for one in axes.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    marks = [axes.transData.transform((point.x.mean, point.y.mean)) for point in points]
    assert not any(box.contains(*mark) for box in boxes for mark in marks)


def test_length_of_a_bar_is_the_distance_to_the_end_of_the_interval() -> None:
    bars = error_bars([Estimate(0.5, 0.4, 0.7, 9), Estimate(0.5, None, None, 2)])
    assert bars == [pytest.approx([0.1, 0.0]), pytest.approx([0.2, 0.0])]
