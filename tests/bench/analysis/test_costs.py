"""Costs of each method."""

import pytest
from fake_run import cell, finished_run
from known_run import known_run

from bench.analysis.costs import Costs, costs_by_method
from bench.runs.records.tables import FitRow


def test_images_without_the_subject_do_not_count() -> None:
    assert costs_by_method(known_run())["tuned"].seconds_per_image == pytest.approx(0.5)


def test_costs_are_mean_fit_median_image_and_peak_memory() -> None:
    cells = [
        cell("a", "ada", f"p{i}", seconds=s, memory_mb=m)
        for i, (s, m) in enumerate([(9.0, 5.0), (1.0, 7.0), (2.0, None)])
    ]
    fits = [FitRow("a", "ada", 1.0, 8.0, 3.0, 10), FitRow("a", "bob", None, None, None, 30)]
    assert costs_by_method(finished_run((), cells, (), fits=fits)) == {"a": Costs(1.0, 2.0, 8.0, 3.0, 20.0)}


def test_costs_that_were_not_measured_are_none() -> None:
    run = finished_run((), [cell("a", "ada", "p0"), cell("b", "ada", "p0", status="failed")], ())
    assert costs_by_method(run) == {label: Costs(None, None, None, None, None) for label in "ab"}
