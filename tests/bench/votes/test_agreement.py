"""Agreement of metrics and voters with votes, by known numbers."""

from typing import Literal

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.analysis.statistics import Estimate
from bench.votes.agreement import metric_agreement, voter_agreement
from bench.votes.answers import Vote
from bench.votes.strengths import Strength
from bench.votes.study import Comparison

HIGHER = column("identity", "eye")
LOWER = column("copying", "eye", better="lower")
NEITHER = column("disruption", "eye", better="neither")
PEOPLE = ("ada", "bob", "cleo", "dan")
VALUES: dict[str, list[float | str]] = {"a": [0.9, 0.5, 0.4, "no face found"], "b": [0.1, 0.5, 0.6, 0.2]}
"""Of each person's only image, in the order of PEOPLE."""


def table() -> ComparisonTable:
    rows = [
        row
        for found in (HIGHER, LOWER, NEITHER)
        for label, values in VALUES.items()
        for who, value in zip(PEOPLE, values, strict=True)
        for row in scores(found, label, who, [value])
    ]
    cells = [cell(label, who, "p0") for label in VALUES for who in PEOPLE]
    return compare(finished_run([HIGHER, LOWER, NEITHER], cells, rows))


def vote(
    who: str, choice: Literal["left", "right", "tie"], voter: str = "v", *, swapped: bool = False
) -> Vote:
    left, right = ("b", "a") if swapped else ("a", "b")
    return Vote(voter, Comparison(who, "p0", 1, left, right), choice, False)


def strength(method: str, value: float) -> Strength:
    return Strength(method, Estimate(value, None, None, 1), 0, 0, 0)


@pytest.mark.parametrize(
    ("votes", "share"),
    [
        ([vote("ada", "left"), vote("cleo", "right")], 1.0),
        ([vote("ada", "right"), vote("cleo", "left")], 0.0),
        ([vote("ada", "right", swapped=True)], 1.0),
        ([vote("ada", "left"), vote("ada", "tie")], 1.0),
        ([vote("bob", "left")], 0.5),
        ([vote("dan", "right"), vote("dan", "left")], 0.5),
        ([vote("dan", "right")], 1.0),
    ],
    ids=[
        "agrees",
        "disagrees",
        "sides",
        "ties are left out",
        "equal scores",
        "split",
        "missing is the worst",
    ],
)
def test_share_of_votes_with_the_better_score(votes: list[Vote], share: float) -> None:
    found = metric_agreement(table(), votes, [strength("a", 1), strength("b", -1)])
    shares = {agreement.column.name: agreement.share.mean for agreement in found}
    assert shares["identity"] == share
    assert set(shares) == {"identity", "copying"}
    # A missing score is the worst in both directions.
    has_missing = votes[0].comparison.person == "dan"
    assert shares["copying"] == (share if has_missing else 1 - share)


def test_tau_has_the_sign_of_better() -> None:
    found = metric_agreement(table(), [vote("ada", "left")], [strength("a", 1), strength("b", -1)])
    assert {agreement.column.name: agreement.tau for agreement in found} == {"identity": 1, "copying": -1}


def test_nothing_agrees_with_ties_alone() -> None:
    assert metric_agreement(table(), [vote("ada", "tie")], []) == []
    assert voter_agreement([vote("ada", "tie"), vote("ada", "tie", "w")]) is None
    assert voter_agreement([vote("ada", "left"), vote("bob", "left", "w")]) is None


def test_voters_are_compared_on_the_same_images() -> None:
    votes = [vote("ada", "left"), vote("ada", "left", "w"), vote("ada", "right", "x"), vote("bob", "right")]
    found = voter_agreement(votes)
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(1 / 3), 3)
