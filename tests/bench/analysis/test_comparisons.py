"""The comparison table of a run with known means."""

from dataclasses import replace

import pytest
from fake_run import cell, column, finished_run, scores
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun
from bench.runs.tables import REAL_OTHER, REAL_SAME


@pytest.fixture
def table() -> ComparisonTable:
    return compare(known_run())


def test_missing_scores_are_counted_and_not_averaged(table: ComparisonTable) -> None:
    entry = table.image_columns[0].entry("tuned")
    assert (entry.n, entry.of) == (15, 18)
    assert entry.estimate is not None
    assert entry.estimate.mean == pytest.approx(0.5, abs=0.05)
    assert entry.reasons == {"no face found": 2, "failed: RuntimeError: out of memory": 1}


def test_row_without_scores_has_an_empty_entry(table: ComparisonTable) -> None:
    entry = table.image_columns[0].entry("nobody")
    assert (entry.estimate, entry.n, entry.of) == (None, 0, 0)


def test_method_conditioned_on_the_metric_is_not_ranked(table: ComparisonTable) -> None:
    column = table.image_columns[0]
    assert column.entry("leaky").overlap == "conditioned"
    assert column.ranking == ["tuned", "close"]


def test_close_methods_are_not_separable_and_distant_ones_are(table: ComparisonTable) -> None:
    column = table.image_columns[0]
    assert [c.separable for c in column.contrasts] == [False]
    assert list(column.against_floor) == list(column.against_ceiling) == ["tuned", "close", "leaky"]
    assert all(c.separable and c.difference.mean > 0 for c in column.against_floor.values())
    assert all(c.separable and c.difference.mean < 0 for c in column.against_ceiling.values())


def test_share_is_0_at_the_floor_and_1_at_the_ceiling(table: ComparisonTable) -> None:
    column = table.image_columns[0]
    assert column.share(REAL_OTHER) == pytest.approx(0)
    assert column.share(REAL_SAME) == pytest.approx(1)
    assert column.share("close") == pytest.approx((0.49 - 0.1) / 0.7, abs=0.05)


def test_column_with_equal_floor_and_ceiling_has_no_share() -> None:
    run = known_run()
    flat = tuple(replace(row, value=0.5) for row in run.scores)
    column = compare(replace(run, scores=flat)).image_columns[0]
    assert column.share("close") is None
    assert column.no_share_reason == "floor and ceiling differ by less than their intervals"


def test_set_interval_contains_its_value(table: ComparisonTable) -> None:
    entry = table.set_columns[0].entries["tuned"]
    assert entry.interval is not None
    assert entry.interval[0] < 12.0 < entry.interval[1]
    assert entry.n == 18


def test_statistics_are_computed_once(table: ComparisonTable) -> None:
    column = table.column("identity@sface")
    assert column is table.column("identity@sface") is table.image_columns[0]
    assert column.entry("tuned") is column.entry("tuned")
    assert column.contrasts is column.contrasts
    assert table.subgroups is table.subgroups


def test_unknown_column_is_refused_with_the_nearest_name(table: ComparisonTable) -> None:
    with pytest.raises(ReportError, match="did you mean 'identity@sface'"):
        table.column("identity@sfce")


def run_with_roles(**roles: str) -> FinishedRun:
    face = column("identity", "sface")
    methods = {"own-floor": 0.1, "own-ceiling": 0.9, "one": 0.4, "two": 0.6}
    people = [f"person{i}" for i in range(4)]
    cells = [cell(method, who, "p0") for method in methods for who in people]
    rows = [
        row
        for method, mean in methods.items()
        for i, who in enumerate(people)
        for row in scores(face, method, who, [mean + 0.01 * i])
    ]
    records = {method: {"role": roles.get(method.replace("-", "_"), "method")} for method in methods}
    return finished_run((face,), cells, rows, methods=records)


def test_floor_and_ceiling_are_the_methods_with_that_role() -> None:
    run = run_with_roles(own_floor="floor", own_ceiling="ceiling")
    assert (run.floor, run.ceiling) == ("own-floor", "own-ceiling")
    (found,) = compare(run).image_columns
    assert found.ranking == ["two", "one"]
    assert {(c.one, c.other) for c in found.against_floor.values()} == {
        ("one", "own-floor"),
        ("two", "own-floor"),
    }
    assert {c.other for c in found.against_ceiling.values()} == {"own-ceiling"}


def test_floor_and_ceiling_of_a_run_without_roles_are_the_default_labels() -> None:
    run = run_with_roles()
    assert (run.floor, run.ceiling) == ("text-only", "photo-copy")
    (found,) = compare(run).image_columns
    assert len(found.ranking) == 4
    assert found.against_floor == {}


def test_second_method_with_a_baseline_role_is_not_ranked() -> None:
    run = run_with_roles(own_floor="floor", one="floor")
    assert run.floor == "own-floor"
    assert compare(run).image_columns[0].ranking == ["own-ceiling", "two"]
