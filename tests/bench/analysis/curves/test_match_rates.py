"""Match rates at thresholds set by photographs of other people."""

import numpy as np
import pytest
from fake_run import cell, column, finished_run, scores
from known_run import SFACE, known_run

from bench.analysis.columns import ImageColumn
from bench.analysis.curves.match_rates import has_match_rates, match_rate_curves
from bench.runs.records.tables import REAL_OTHER, REAL_SAME

PEOPLE = [f"p{i}" for i in range(10)]
IDENTITY = column("identity", "eye")


def column_of(tuned: list[float | str], other: list[float | str]) -> ImageColumn:
    """The same scores for each of ten people."""
    rows = [
        row
        for label, values in (("tuned", tuned), (REAL_OTHER, other))
        for who in PEOPLE
        for row in scores(IDENTITY, label, who, values)
    ]
    cells = [cell("tuned", who, f"p{i}") for who in PEOPLE for i in range(len(tuned))]
    return ImageColumn(finished_run([IDENTITY], cells, rows), IDENTITY)


def test_known_shares_at_every_threshold() -> None:
    (curve,) = match_rate_curves(column_of([0.9, 0.5, 0.3, "no face found"], [0.1, 0.4]))
    assert curve.label == "tuned"
    assert curve.false_match_rates == pytest.approx([0, 0.5, 1])
    # An image without a face is never accepted, not even at the lowest threshold.
    assert curve.match_rates == pytest.approx([0.5, 0.75, 0.75])


def test_points_keep_to_the_false_match_rate_and_have_intervals() -> None:
    other: list[float | str] = list(np.linspace(0, 1, 10))
    (curve,) = match_rate_curves(column_of([0.95, 0.85, 0.5, 0.1], other))
    asked = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    assert len(curve.points) == len(asked), "0.1 % of 100 photographs is less than one"
    for point, rate in zip(curve.points, asked, strict=True):
        assert point.false_match_rate <= rate
        assert point.match_rate.low is not None
        assert point.match_rate.low <= point.match_rate.mean < point.match_rate.high
    tenth = curve.points[3]
    assert (tenth.false_match_rate, tenth.match_rate.mean) == (pytest.approx(0.1), 0.25)


def test_rates_rise_and_a_method_like_other_people_matches_as_often_as_they_do() -> None:
    values: list[float | str] = [0.1, 0.2, 0.3, 0.4]
    (curve,) = match_rate_curves(column_of(values, values))
    assert (np.diff(curve.false_match_rates) > 0).all()
    assert curve.match_rates == pytest.approx(curve.false_match_rates)


def test_rows_are_the_methods_and_photographs_of_the_same_person() -> None:
    run = known_run()
    labels = [curve.label for curve in match_rate_curves(ImageColumn(run, SFACE))]
    assert labels == [*run.methods, REAL_SAME]


def test_column_without_photographs_of_others_has_no_curve() -> None:
    found = column_of([0.5], ["no face found"])
    assert not has_match_rates(found)
    assert match_rate_curves(found) == []
