"""Scales of plots, and what their marks link to."""

import pytest

from bench.report.html.plots.svg import Scale, beside, label_texts, linked, scale_over


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


def test_link_of_a_mark_and_its_label_stay_text() -> None:
    text = linked("<g/>", "a&b/<c>", 'a "quoted" <c>', person="d=e")
    assert text.startswith('<a href="#method=a%26b%2F%3Cc%3E&amp;person=d%3De" aria-label="a &quot;quoted')
    assert "<title>a &quot;quoted&quot; &lt;c&gt;</title>" in text


def test_moved_label_has_a_line_to_its_point() -> None:
    text = label_texts([beside(100, 50, "one"), beside(100, 51, "two"), beside(100, 52, "")], 400)
    assert text.count("<text") == 2
    assert text.count('class="leader"') >= 1
