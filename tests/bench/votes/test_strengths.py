"""Strengths from simulated votes."""

import numpy as np
import pytest
from scipy.optimize import minimize

from bench.analysis.statistics import MIN_PEOPLE
from bench.votes.strengths import (
    PRIOR_SD,
    Votes,
    differences,
    fit,
    numbered_votes,
    strengths,
    win_probability,
)

METHODS = ("best", "good", "poor", "worst")
TRUE = np.array([0.9, 0.3, -0.2, -1.0])
TIE_TENDENCY = -0.3


def simulated(rng: np.random.Generator, voters: int, people: int, votes_each: int, *, spread: float) -> Votes:
    """Votes between random methods; every voter, and every person shown, has log-strengths of its own."""
    of_voter, of_person = (rng.normal(0, spread, (count, len(TRUE))) for count in (voters, people))
    voter = np.repeat(np.arange(voters), votes_each)
    person = rng.integers(people, size=len(voter))
    order = rng.permuted(np.tile(np.arange(len(TRUE)), (len(voter), 1)), axis=1)
    first, second = order[:, 0], order[:, 1]
    log_strengths, rows = TRUE + of_voter[voter] + of_person[person], np.arange(len(voter))
    d = log_strengths[rows, first] - log_strengths[rows, second]
    weights = np.exp(np.stack([d / 2, -d / 2, np.full(len(d), TIE_TENDENCY)], 1))
    cumulative = (weights / weights.sum(1, keepdims=True)).cumsum(1)
    outcome = np.array([1, -1, 0])[(rng.random(len(d))[:, None] > cumulative[:, :2]).sum(1)]
    return Votes(METHODS, first, second, outcome, tuple(zip(voter.tolist(), person.tolist(), strict=True)))


def test_known_strengths_and_ties_are_recovered() -> None:
    model = fit(simulated(np.random.default_rng(0), 200, 50, 200, spread=0.0))
    assert model.log_strengths == pytest.approx(TRUE - TRUE.mean(), abs=0.05)
    assert model.tie_tendency == pytest.approx(TIE_TENDENCY, abs=0.05)


def test_intervals_cover_the_strengths_for_the_average_voter_and_person() -> None:
    average = fit(simulated(np.random.default_rng(1), 1000, 1000, 60, spread=0.5)).log_strengths
    rng, covered = np.random.default_rng(2), []
    for _ in range(60):
        votes = simulated(rng, 10, 8, 40, spread=0.5)
        for found, true in zip(strengths(votes, fit(votes)), average, strict=True):
            assert found.estimate.low is not None
            assert found.estimate.high is not None
            covered.append(found.estimate.low <= true <= found.estimate.high)
    # The four strengths of a round are dependent: two standard errors are at most .05.
    assert 0.9 <= np.mean(covered) <= 0.995


def test_fit_is_the_maximum_of_the_posterior() -> None:
    votes = simulated(np.random.default_rng(4), 6, 6, 15, spread=0.0)

    def negative_log_posterior(parameters: np.ndarray) -> float:
        d = parameters[votes.first] - parameters[votes.second]
        exponents = np.stack([d / 2, np.full(len(d), parameters[-1]), -d / 2], 1)
        seen = exponents[np.arange(len(d)), 1 - votes.outcome]
        likelihood = (seen - np.log(np.exp(exponents).sum(1))).sum()
        return float((parameters**2).sum() / (2 * PRIOR_SD**2) - likelihood)

    best = minimize(negative_log_posterior, np.zeros(len(TRUE) + 1), tol=1e-10).x
    model = fit(votes)
    assert model.log_strengths == pytest.approx(best[:-1] - best[:-1].mean(), abs=1e-4)
    assert model.tie_tendency == pytest.approx(best[-1], abs=1e-4)


def test_influence_is_what_a_vote_changes() -> None:
    votes = simulated(np.random.default_rng(3), 20, 20, 30, spread=0.0)
    model = fit(votes)
    kept = np.arange(1, len(votes.outcome))
    without = fit(
        Votes(METHODS, votes.first[kept], votes.second[kept], votes.outcome[kept], votes.clusters[1:])
    )
    change = model.log_strengths - without.log_strengths
    assert change == pytest.approx(model.influences[0], rel=0.05, abs=1e-4)


def test_two_methods_without_ties_have_the_log_odds_of_the_votes() -> None:
    rows = [("a", "b", 1)] * 300 + [("b", "a", 1)] * 100
    votes = numbered_votes(("a", "b"), rows, [(f"v{i % 8}", f"p{i % 10}") for i in range(len(rows))])
    (found,) = differences(votes, fit(votes))
    assert (found.one, found.other) == ("a", "b")
    assert found.difference.mean == pytest.approx(np.log(3), rel=0.02)
    assert win_probability(found.difference.mean, fit(votes).tie_tendency) == pytest.approx(0.75, abs=0.01)


def test_method_that_wins_every_vote_stays_finite() -> None:
    rows = [("a", "b", 1)] * 30
    votes = numbered_votes(("a", "b"), rows, [(f"v{i % 6}", f"p{i % 5}") for i in range(30)])
    found = strengths(votes, fit(votes))
    assert 0 < found[0].estimate.mean < 2 * PRIOR_SD
    assert (found[0].wins, found[0].ties, found[0].losses) == (30, 0, 0)
    assert (found[1].wins, found[1].ties, found[1].losses) == (0, 0, 30)


@pytest.mark.parametrize(("voters", "people"), [(MIN_PEOPLE - 1, 11), (11, MIN_PEOPLE - 1)])
def test_few_voters_or_people_get_no_interval_and_no_verdict(voters: int, people: int) -> None:
    rows = [("a", "b", 1)] * 40 + [("a", "b", 0)] * 4
    clusters = [(f"v{i % voters}", f"p{i % people}") for i in range(44)]
    votes = numbered_votes(("a", "b"), rows, clusters)
    (found,) = differences(votes, fit(votes))
    assert (found.difference.low, found.verdict) == (None, "not separable")


def test_sides_do_not_matter() -> None:
    rows = [("a", "b", 1)] * 8 + [("a", "b", -1)] * 5 + [("b", "c", 1)] * 6 + [("a", "c", 0)] * 3
    clusters = [(f"v{i % 5}", f"p{i % 4}") for i in range(len(rows))]
    one = fit(numbered_votes(("a", "b", "c"), rows, clusters))
    other = fit(numbered_votes(("a", "b", "c"), [(b, a, -o) for a, b, o in rows], clusters))
    assert one.log_strengths == pytest.approx(other.log_strengths)
    with pytest.raises(ValueError, match="no votes"):
        fit(numbered_votes(("a", "b"), [], []))
