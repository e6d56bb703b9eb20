"""Paired differences between two runs."""

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.across_runs.comparability import common_ground
from bench.analysis.across_runs.differences import RunDifference, differences
from bench.runs.finished_run import FinishedRun

METRIC = column("identity", "sface")
PEOPLE = ("ada", "bob", "cleo", "dan", "eva", "fay")


def run_of(means: dict[str, float], missing: str = "", people: tuple[str, ...] = PEOPLE) -> FinishedRun:
    """Two prompts; people differ by 0.1. `missing` is a person whose first image has no face."""
    rows = []
    for method, mean in means.items():
        for i, who in enumerate(people):
            values: list[float | str] = [mean + 0.1 * i + 0.01 * (i % 3), mean + 0.1 * i - 0.02]
            if who == missing:
                values[0] = "no face found"
            rows += scores(METRIC, method, who, values)
    cells = [cell(method, who, f"p{i}") for method in means for who in people for i in range(2)]
    return finished_run((METRIC,), cells, rows, people={who: {} for who in people})


def found(one: FinishedRun, other: FinishedRun) -> list[RunDifference]:
    return differences(one, other, (METRIC, METRIC), common_ground(one, other))


def test_difference_is_the_second_run_minus_the_first() -> None:
    (tuned, plain) = found(run_of({"tuned": 0.2, "plain": 0.1}), run_of({"tuned": 0.3, "plain": 0.1}))
    assert tuned.contrast.difference.mean == pytest.approx(0.1)
    assert tuned.other - tuned.one == pytest.approx(0.1)
    assert (tuned.contrast.verdict, tuned.contrast.difference.n) == ("above", 12)
    assert plain.contrast.difference.mean == pytest.approx(0)
    assert plain.contrast.verdict == "not separable"


def test_missing_score_counts_as_the_worst_of_both_runs() -> None:
    (complete,) = found(run_of({"tuned": 0.2}), run_of({"tuned": 0.2}))
    (lost,) = found(run_of({"tuned": 0.2}), run_of({"tuned": 0.2}, missing="fay"))
    # The image of fay has 0.72; the worst of all is 0.18; 12 pairs.
    assert complete.contrast.difference.mean == 0
    assert lost.contrast.difference.mean == pytest.approx((0.18 - 0.72) / 12)


def test_only_people_of_both_runs_are_compared() -> None:
    (tuned,) = found(run_of({"tuned": 0.2}), run_of({"tuned": 0.2}, people=PEOPLE[:5]))
    assert tuned.contrast.difference.n == 10
    assert tuned.one == pytest.approx(tuned.other)


def test_fewer_than_five_people_get_no_interval() -> None:
    (tuned,) = found(run_of({"tuned": 0.2}), run_of({"tuned": 0.9}, people=PEOPLE[:4]))
    assert tuned.contrast.difference.low is None
    assert tuned.contrast.verdict == "not separable"
