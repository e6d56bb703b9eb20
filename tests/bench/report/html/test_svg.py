"""Scales and labels of plots."""

import re
from itertools import combinations

import pytest

from bench.report.html.svg import LINE, Label, Scale, labels, scale_over


def test_scale_maps_its_ends() -> None:
    scale = Scale(2, 4, 100, 0)
    assert [scale(2), scale(3), scale(4)] == [100, 50, 0]


def test_logarithmic_scale_has_equal_steps_for_equal_factors() -> None:
    scale = Scale(0.1, 10, 0, 200, log=True)
    assert scale(1) == pytest.approx(100)
    assert scale.ticks == pytest.approx([0.1, 1, 10])


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.5, 0.5], [-3.0, 1e-3], [1000.0, 1e5]])
def test_ticks_are_few_and_within_the_scale(values: list[float]) -> None:
    scale = scale_over(values, 0, 100)
    assert 2 <= len(scale.ticks) <= 7
    assert all(scale.low - 1e-9 <= tick <= scale.high + 1e-9 for tick in scale.ticks)
    assert scale.low < min(values)
    assert max(values) < scale.high


def test_labels_of_close_points_do_not_cover_one_another() -> None:
    wanted = [Label(100, 50 + i, f"method-{i}") for i in range(6)]
    text = labels(wanted, 400)
    positions = [float(y) for y in re.findall(r'<text[^>]* y="([0-9.]+)"', text)]
    assert all(abs(one - other) >= LINE - 0.2 for one, other in combinations(positions, 2))


def test_labels_at_the_bottom_move_up() -> None:
    text = labels([Label(100, 399, "one"), Label(100, 400, "two")], 400)
    assert max(float(y) for y in re.findall(r'<text[^>]* y="([0-9.]+)"', text)) <= 405
