"""The best row of a column."""

from dataclasses import replace

import pytest
from fake_run import cell, column, finished_run, scores
from known_run import known_run

from bench.analysis.comparison_table import compare
from bench.report.standings import standings

PEOPLE = ("ada", "bob", "cleo", "dan", "eva", "fay")


@pytest.mark.parametrize(("better", "best"), [("higher", "high"), ("lower", "low")])
def test_best_follows_the_direction_of_the_metric(better: str, best: str) -> None:
    metric = column("copying", "sface", better=better)
    rows = [
        row
        for method, mean in {"high": 0.9, "low": 0.1}.items()
        for i, who in enumerate(PEOPLE)
        for row in scores(metric, method, who, [mean + 0.01 * i, mean - 0.01 * i])
    ]
    cells = [cell(method, who, f"p{i}") for method in ("high", "low") for who in PEOPLE for i in range(2)]
    found = standings(compare(finished_run((metric,), cells, rows)).image_columns[0])
    # The difference of 0.8 is the same for every person, so the other one is separable.
    assert found == {best: "best"}


def test_best_set_is_no_baseline_and_not_leaky() -> None:
    (fid,) = compare(known_run()).set_columns
    assert fid.column.better == "lower"
    assert min(fid.entries, key=lambda label: fid.entries[label].value or 99) == "text-only"
    assert standings(fid) == {"tuned": "best"}


def test_one_ranked_method_is_not_the_best() -> None:
    run = known_run()
    scored = tuple(row for row in run.scores if row.method not in ("close", "leaky"))
    assert standings(compare(replace(run, scores=scored)).image_columns[0]) == {}
