"""The best row of a column, and its letters."""

from dataclasses import replace

import pytest
from fake_run import cell, column, finished_run, scores
from known_run import known_run

from bench.analysis.comparison_table import compare
from bench.report.standings import shared_letters, standings

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


@pytest.mark.parametrize(
    ("steps", "letters"),
    [
        ([0.9, 0.5, 0.1], ["a", "b", "c"]),
        ([0.9, 0.88, 0.1], ["a", "a", "b"]),
        ([0.9, 0.895, 0.89], ["a", "a", "a"]),
        # The middle one is not separable from either end.
        ([0.9, 0.88, 0.87], ["a", "ab", "b"]),
    ],
)
def test_methods_without_a_common_letter_are_separable(steps: list[float], letters: list[str]) -> None:
    metric, names = column("identity", "sface"), ("x", "y", "z")
    noise = {"x": (0, 0, 0, 0, 0, 0), "y": (6, -6, 5, -5, 6, -6), "z": (1, -1, 2, -2, 1, -1)}
    rows = [
        row
        for name, mean in zip(names, steps, strict=True)
        for i, who in enumerate(PEOPLE)
        for row in scores(metric, name, who, [mean + 0.01 * noise[name][i]] * 2)
    ]
    cells = [cell(name, who, f"p{i}") for name in names for who in PEOPLE for i in range(2)]
    own = compare(finished_run((metric,), cells, rows)).image_columns[0]
    found = shared_letters(own)
    assert [found[name] for name in names] == letters
    for contrast in own.contrasts:
        assert contrast.separable is not bool(set(found[contrast.one]) & set(found[contrast.other]))


def test_sets_and_runs_without_intervals_have_no_letters() -> None:
    table = compare(known_run())
    assert shared_letters(table.set_columns[0]) == {}
    few = replace(table.run, scores=tuple(row for row in table.run.scores if row.identity in ("ada", "bob")))
    assert shared_letters(compare(few).image_columns[0]) == {}
