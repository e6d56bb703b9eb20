"""Rows of the table as points of a plot."""

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import compare
from bench.analysis.statistics import Estimate
from bench.report.drawing.plot_points import (
    MOST_NAMES,
    PlotPoint,
    differences_to_floor,
    is_ranked,
    means,
    names,
    pareto_front,
    shortened,
    step_between,
    sweeps_of,
)

PEOPLE = ("ada", "bob", "cleo", "dan", "eva")
RUN = finished_run((), [cell("a", "ada", "p0")], [])


def point(label: str, x: float = 0, y: float = 0, *, ranked: bool = True) -> PlotPoint:
    return PlotPoint(label, Estimate(x, None, None, 1), Estimate(y, None, None, 1), ranked)


def of(better: str) -> ImageColumn:
    return ImageColumn(RUN, column("copying", "sface", better=better))


def places(points: list[PlotPoint]) -> list[tuple[float, float]]:
    return [(found.x.mean, found.y.mean) for found in points]


def test_front_has_the_points_that_no_other_exceeds_in_both() -> None:
    points = [point("", *at) for at in [(0, 3), (1, 1), (2, 2), (3, 0), (2, 1)]]
    assert places(pareto_front(points, of("higher"), of("higher"))) == [(3, 0), (2, 2), (0, 3)]


def test_front_follows_the_direction_of_each_metric() -> None:
    points = [point("", *at) for at in [(0, 3), (1, 1), (2, 2)]]
    assert places(pareto_front(points, of("lower"), of("higher"))) == [(0, 3)]
    assert places(pareto_front(points, of("lower"), of("lower"))) == [(0, 3), (1, 1)]
    assert pareto_front(points, of("neither"), of("higher")) == []


def test_front_has_no_point_that_is_not_ranked() -> None:
    points = [point("", 9, 9, ranked=False), point("", 1, 1)]
    assert places(pareto_front(points, of("higher"), of("higher"))) == [(1, 1)]


def test_differences_are_to_the_floor_and_without_baselines() -> None:
    identity, prompt = column("identity", "sface"), column("prompt-match", "clip")
    values = {"text-only": (0.2, 0.5), "tuned": (0.6, 0.4)}
    rows = [
        row
        for method, own in values.items()
        for metric, mean in zip((identity, prompt), own, strict=True)
        for i, who in enumerate(PEOPLE)
        for row in scores(metric, method, who, [mean + 0.01 * i, mean - 0.02 * i])
    ]
    cells = [cell(m, who, f"p{i}") for m in values for who in PEOPLE for i in range(2)]
    run = finished_run((identity, prompt), cells, rows, methods={"text-only": {"role": "floor"}})
    one, other = compare(run).image_columns
    (tuned,) = differences_to_floor(other, one)
    assert (tuned.label, tuned.ranked) == ("tuned", True)
    assert (tuned.x.mean, tuned.y.mean) == pytest.approx((-0.1, 0.4))
    assert [found.label for found in means(other, one)] == ["text-only", "tuned"]
    assert not is_ranked("text-only", one, other)


def test_points_of_a_sweep_have_their_settings_and_only_the_first_its_method() -> None:
    points = [point(label) for label in ("ip@scale=1.0", "ip@scale=0.5", "tuned", "ip@steps=3")]
    assert names(points) == ["ip@scale=1.0", "0.5", "tuned", "3"]
    assert [[p.label for p in sweep] for sweep in sweeps_of(points)] == [["ip@scale=0.5", "ip@scale=1.0"]]


def test_many_points_have_no_settings() -> None:
    points = [point(f"ip@scale={i}") for i in range(MOST_NAMES)]
    assert names([*points, point("tuned")]) == ["ip", *[""] * (MOST_NAMES - 1), "tuned"]


def test_long_label_keeps_its_setting() -> None:
    assert shortened("loo-caption-attention-mean@scale=0.5") == "loo-caption-atten…@scale=0.5"
    assert shortened("loo-mean") == "loo-mean"


def test_points_of_one_setting_stay_nearer_to_one_another_than_to_the_next_setting() -> None:
    for count in (2, 3, 12):
        width = (count - 1) * step_between([0.0, 100.0, 110.0], count, 8.0)
        assert 0 < width < 10
    assert step_between([0.0, 1000.0], 2, 8.0) == 8.0
    assert step_between([5.0], 4, 8.0) == 8.0
