"""The comparison table of a run with known means."""

from dataclasses import replace

import numpy as np
import pytest
from fake_run import cell, column, finished_run, scores
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.analysis.scored_rows import clusters_of
from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, ScoreRow


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
    # `tuned` has the higher mean of the scores that exist, and three missing ones.
    assert column.order_of_means == ["tuned", "close"]
    assert column.ranking == ["close", "tuned"]


def test_close_methods_are_not_separable_and_distant_ones_are(table: ComparisonTable) -> None:
    column = table.image_columns[0]
    assert [c.separable for c in column.contrasts] == [False]
    assert list(column.against_floor) == list(column.against_ceiling) == ["tuned", "close", "leaky"]
    # One of six people has no score by `tuned` at all, which counts as the worst score.
    assert {label: c.verdict for label, c in column.against_floor.items()} == {
        "tuned": "not separable",
        "close": "above",
        "leaky": "above",
    }
    assert {label: c.verdict for label, c in column.against_ceiling.items()} == {
        "tuned": "below",
        "close": "below",
        "leaky": "below",
    }


def test_share_is_0_at_the_floor_and_1_at_the_ceiling(table: ComparisonTable) -> None:
    column = table.image_columns[0]
    values = {label: column.share(label) for label in (REAL_OTHER, "close", REAL_SAME)}
    shares = {label: share.value for label, share in values.items() if share is not None}
    expected = {REAL_OTHER: 0, "close": pytest.approx((0.49 - 0.1) / 0.7, abs=0.05), REAL_SAME: 1}
    assert shares == expected


def test_share_has_an_interval_around_its_value(table: ComparisonTable) -> None:
    share = table.image_columns[0].share("close")
    assert share is not None
    assert share.interval is not None
    assert share.interval[0] < share.value < share.interval[1]


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


def worst_lost(people: int, lost: float, seed: int) -> FinishedRun:
    """Two equal methods; `careless` finds no face in the worst of its own images."""
    rng = np.random.default_rng(seed)
    names, prompts = [f"p{i}" for i in range(people)], range(7)
    shift = rng.normal(0, 0.1, (people, 7))
    own = {m: 0.5 + shift + rng.normal(0, 0.05, (people, 7)) for m in ("careful", "careless")}
    limit = np.quantile(own["careless"], lost)
    rows = [
        row
        for method, values in own.items()
        for i, who in enumerate(names)
        for row in scores(
            FACE,
            method,
            who,
            ["no face found" if method == "careless" and v < limit else float(v) for v in values[i]],
        )
    ]
    cells = [cell(m, who, f"p{p}") for m in own for who in names for p in prompts]
    return finished_run((FACE,), cells, rows)


FACE = column("identity", "mine")


@pytest.mark.parametrize("lost", [0.05, 0.15, 0.3])
def test_method_that_loses_its_worst_faces_is_never_ranked_above_its_equal(lost: float) -> None:
    for seed in range(20):
        found = compare(worst_lost(20, lost, seed)).image_columns[0]
        (contrast,) = found.contrasts
        above = contrast.one if contrast.verdict == "above" else contrast.other
        assert not contrast.separable or above == "careful"
        assert contrast.difference.n == 20 * 7


def test_order_and_verdicts_come_from_the_same_means() -> None:
    for seed in range(20):
        found = compare(worst_lost(8, 0.3, seed)).image_columns[0]
        assert all(c.difference.mean >= 0 for c in found.contrasts)


def test_interval_of_a_contrast_excludes_0_exactly_where_it_is_separable(table: ComparisonTable) -> None:
    for found in [*table.image_columns, *table.prior_columns]:
        groups = (found.against_floor.values(), found.against_ceiling.values(), found.contrasts)
        for contrast in (c for group in groups for c in group):
            low, high = contrast.difference.low, contrast.difference.high
            assert low is not None
            assert high is not None
            assert (low > 0 or high < 0) == contrast.separable
            assert (contrast.verdict == "not separable") != contrast.separable


def test_recaptions_are_one_prompt() -> None:
    first, second = (
        ScoreRow("m", "ada", f"recaption-{i}", "recaption", 1, "x", "", 0.1, "", "") for i in (1, 2)
    )
    assert clusters_of(first) == clusters_of(second) == ("ada", "recaption")
