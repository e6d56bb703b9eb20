"""Strengths of methods from votes between two of them: Bradley and Terry (1952) with ties of Davidson (1970).

With log-strengths t, the first of two methods wins, loses or ties with probabilities proportional to
exp(d / 2), exp(-d / 2) and exp(u), where d = t_first - t_second and u is the tendency to tie. Ties are a
part of the model, because counting them as half a win each would pull all strengths together. The
log-likelihood is concave; Newton's method finds its maximum. A weak normal prior keeps the strengths of
methods that win or lose every vote finite.

Votes of one voter are alike, and so are votes on one person. Each estimate is linear in the votes'
influences on it (Huber 1967), so that its interval is that of a mean over two crossed kinds of clusters
(Cameron, Gelbach & Miller 2011), as everywhere in the report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.analysis.contrasts import ALPHA, Verdict
from bench.analysis.holm import holm, holm_levels
from bench.analysis.statistics import LEVEL, Estimate, Pair
from bench.votes.clusters import clustered_estimate

PRIOR_SD: Final = 3.0
"""Of the log-strengths and of the tendency to tie: a difference of 3 is 95 % of the votes."""
STEPS: Final = 100
TOLERANCE: Final = 1e-10
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Strength:
    """One method's log-strength, relative to the mean of all methods."""

    method: str
    estimate: Estimate
    """Without an interval for fewer than five voters or people; `n` is the number of all votes."""
    wins: int
    losses: int
    ties: int


@dataclass(frozen=True)
class StrengthDifference:
    """The log-strength of one method minus another's."""

    one: str
    other: str
    difference: Estimate
    """Its interval has the level at which Holm's correction tested the difference."""
    p: float
    """After Holm's correction over the pairs of methods."""

    @property
    def verdict(self) -> Verdict:
        """Where `one` is relative to `other`."""
        if self.difference.low is None or self.p > ALPHA:
            return "not separable"
        return "above" if self.difference.mean > 0 else "below"


@dataclass(frozen=True)
class Model:
    """A fitted model: the estimates, and the influence of every vote on each."""

    log_strengths: Floats
    """M methods, with mean 0."""
    tie_tendency: float
    influences: Floats
    """N votes x M methods: their sum over votes is the error of the estimates."""


@dataclass(frozen=True)
class Votes:
    """N votes between two of M methods, as numbers."""

    methods: tuple[str, ...]
    first: Indices
    """The method shown first, N."""
    second: Indices
    outcome: Indices
    """1 where the first won, -1 where it lost, 0 for a tie; N."""
    clusters: tuple[Pair, ...]
    """Voter and person of each vote."""


def fit(votes: Votes) -> Model:
    """Newton's method for the posterior mode. Raises ValueError without votes."""
    if not len(votes.outcome):
        raise ValueError("no votes")
    features, of_ties = _features(votes)
    parameters = np.zeros(features.shape[1])
    precision = np.eye(len(parameters)) / PRIOR_SD**2
    for _ in range(STEPS):
        gradients, information = _derivatives(features, of_ties, votes.outcome, parameters)
        step = np.linalg.solve(information + precision, gradients.sum(0) - precision @ parameters)
        # A long step of Newton's method may overshoot; the function is concave, so a shorter one does not.
        parameters += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < TOLERANCE:
            break
    gradients, information = _derivatives(features, of_ties, votes.outcome, parameters)
    influences = (gradients @ np.linalg.inv(information + precision))[:, :-1]
    strengths = parameters[:-1]
    return Model(
        strengths - strengths.mean(), float(parameters[-1]), influences - influences.mean(1)[:, None]
    )


def unconnected(votes: Votes) -> list[str]:
    """The methods that no chain of votes connects with the first one: their strengths cannot be compared."""
    reached = {0}
    pairs = {(int(one), int(other)) for one, other in zip(votes.first, votes.second, strict=True)}
    while new := {m for pair in pairs if reached & set(pair) for m in pair} - reached:
        reached |= new
    return [method for i, method in enumerate(votes.methods) if i not in reached]


def strengths(votes: Votes, model: Model) -> list[Strength]:
    """Every method's strength with its interval, in the order of `votes.methods`."""
    return [
        Strength(method, _estimate(model, votes, np.eye(len(votes.methods))[i], LEVEL), *_counts(votes, i))
        for i, method in enumerate(votes.methods)
    ]


def differences(votes: Votes, model: Model) -> list[StrengthDifference]:
    """Every method minus every other, with Holm's correction."""
    pairs = list(combinations(range(len(votes.methods)), 2))
    weights = [np.eye(len(votes.methods))[one] - np.eye(len(votes.methods))[other] for one, other in pairs]
    p = [1.0 if (found := _estimate(model, votes, w, LEVEL).p) is None else found for w in weights]
    return [
        StrengthDifference(
            votes.methods[one], votes.methods[other], _estimate(model, votes, weight, level), adjusted
        )
        for (one, other), weight, adjusted, level in zip(pairs, weights, holm(p), holm_levels(p), strict=True)
    ]


def win_probability(difference: float, tie_tendency: float) -> float:
    """Probability of preferring a method whose log-strength is larger by `difference`; a tie counts half."""
    win, loss, tie = np.exp([difference / 2, -difference / 2, tie_tendency])
    return float((win + tie / 2) / (win + loss + tie))


def _features(votes: Votes) -> tuple[Floats, Floats]:
    """Derivatives of the exponents by the parameters, N x (M + 1): of a win (a loss: negative), of a tie."""
    count = len(votes.outcome)
    features = np.zeros((count, len(votes.methods) + 1))
    rows = np.arange(count)
    features[rows, votes.first] += 0.5
    features[rows, votes.second] -= 0.5
    of_ties = np.zeros_like(features)
    of_ties[:, -1] = 1.0
    return features, of_ties


def _derivatives(
    features: Floats, of_ties: Floats, outcome: Indices, parameters: Floats
) -> tuple[Floats, Floats]:
    """Gradient of the log-likelihood by vote, N x (M + 1), and its information matrix."""
    exponents = np.stack([features @ parameters, -features @ parameters, of_ties @ parameters], 1)
    weights = np.exp(exponents - exponents.max(1, keepdims=True))
    win, loss, tie = (weights / weights.sum(1, keepdims=True)).T[:, :, None]
    expected = (win - loss) * features + tie * of_ties
    seen = np.sign(outcome)[:, None] * features + (outcome == 0)[:, None] * of_ties
    # The covariance of the outcome's features; those of wins and losses are opposite.
    second_moment = (np.sqrt(win + loss) * features).T @ (np.sqrt(win + loss) * features)
    second_moment += (np.sqrt(tie) * of_ties).T @ (np.sqrt(tie) * of_ties)
    return seen - expected, second_moment - expected.T @ expected


def _estimate(model: Model, votes: Votes, weights: Floats, level: float) -> Estimate:
    """A weighted sum of log-strengths: the mean over votes of the sum plus N times a vote's influence."""
    value = float(model.log_strengths @ weights)
    influence = model.influences @ weights
    # The prior leaves a small rest, which is no spread.
    values = value + len(influence) * (influence - influence.mean())
    return clustered_estimate(values, votes.clusters, level=level)


def _counts(votes: Votes, method: int) -> tuple[int, int, int]:
    signs = votes.outcome * ((votes.first == method) * 1 - (votes.second == method) * 1)
    shown = (votes.first == method) | (votes.second == method)
    return int((signs > 0).sum()), int((signs < 0).sum()), int((shown & (votes.outcome == 0)).sum())


def numbered_votes(
    methods: Sequence[str], rows: Sequence[tuple[str, str, int]], clusters: Sequence[Pair]
) -> Votes:
    """Votes from names: first method, second method, outcome."""
    place = {method: i for i, method in enumerate(methods)}
    return Votes(
        tuple(methods),
        np.array([place[first] for first, _, _ in rows], np.intp),
        np.array([place[second] for _, second, _ in rows], np.intp),
        np.array([outcome for _, _, outcome in rows], np.intp),
        tuple(clusters),
    )
