"""Means and differences with intervals for images clustered by person and by prompt.

Variance: Cameron, Gelbach & Miller (2011), equation 2.11, for two-way clustering: that of a bootstrap over
identities, plus that of a bootstrap over prompts, minus that of a bootstrap over their intersections.
Interval: Student's t, because ten people are few; the degrees of freedom (Satterthwaite 1946) come from the
two numbers of clusters. Every bootstrap uses the caller's seed.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

REPLICATES: Final = 2000
LEVEL: Final = 0.95
Floats = NDArray[np.float64]
Pair = tuple[Hashable, Hashable]
"""An identity and a prompt."""
ByPerson = Mapping[str, Sequence[float]]
"""One method's scores, by identity."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; no interval for fewer than two identities."""

    mean: float
    low: float | None
    high: float | None
    n: int
    p: float | None = None
    """Two-sided p-value of the hypothesis that the true mean is 0."""


def estimate(
    values: Sequence[float] | Floats,
    pairs: Sequence[Pair],
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> Estimate:
    """The mean of `values` and its interval, clustered by both members of `pairs`; one pair per value."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0 or len(x) != len(pairs):
        raise ValueError(f"{len(x)} values, {len(pairs)} pairs; expected one pair per value")
    mean = float(x.mean())
    identities = _numbered([identity for identity, _ in pairs])
    if identities.max() == 0:
        return Estimate(mean, None, None, len(x))
    variance, df = _variance(x, identities, _numbered([prompt for _, prompt in pairs]), seed, replicates)
    if variance == 0:
        return Estimate(mean, mean, mean, len(x), 1.0 if mean == 0 else 0.0)
    error = float(np.sqrt(variance))
    width = error * float(stdtrit(df, (1 + LEVEL) / 2))
    low, high = mean - width, mean + width
    if x.min() >= 0 and x.max() <= 1 and np.isin(x, (0.0, 1.0)).any():
        # Shares: their interval lies within 0..1.
        low, high = max(low, 0.0), min(high, 1.0)
    return Estimate(mean, low, high, len(x), float(2 * stdtr(df, -abs(mean) / error)))


def paired_difference(
    one: Mapping[Pair, float], other: Mapping[Pair, float], *, seed: int
) -> Estimate | None:
    """Mean of `one` minus `other` over the (identity, prompt) pairs that both contain; None without any."""
    shared = [pair for pair in one if pair in other]
    if not shared:
        return None
    return estimate([one[pair] - other[pair] for pair in shared], shared, seed=seed)


def pair_means(values: Sequence[float], pairs: Sequence[Pair]) -> dict[Pair, float]:
    """The mean over the samples of each (identity, prompt)."""
    found: dict[Pair, list[float]] = {}
    for value, pair in zip(values, pairs, strict=True):
        found.setdefault(pair, []).append(value)
    return {pair: sum(members) / len(members) for pair, members in found.items()}


@dataclass(frozen=True)
class Agreement:
    """How far two metrics rank the same methods in the same order."""

    tau: float | None
    """Kendall's tau-b, -1..1; None for fewer than two methods, or where a metric ties them all."""
    low: float | None
    high: float | None
    """95 % interval over people; None for fewer than two people."""
    methods: int
    people: int


def rank_agreement(
    one: Sequence[ByPerson], other: Sequence[ByPerson], *, seed: int, replicates: int = REPLICATES
) -> Agreement:
    """Kendall's tau-b (1945) between two metrics' means over all scores of each method.

    `one[i]` and `other[i]` contain method i's scores by person. The interval is from the 2.5 % to the 97.5 %
    quantile of a bootstrap that resamples whole people, the same ones for all methods and both metrics.
    Replicates in which tau is undefined are left out.
    """
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} methods; expected the same ones")
    people = list(dict.fromkeys(who for scores in (*one, *other) for who in scores))
    sides = [_sums(side, people) for side in (one, other)]
    if len(one) < 2 or not people:
        return Agreement(None, None, None, len(one), len(people))
    tau = float(kendall_tau(*(_weighted(side, np.ones((1, len(people)))) for side in sides))[0])
    found = None if np.isnan(tau) else tau
    if len(people) < 2:
        return Agreement(found, None, None, len(one), len(people))
    weights = _weights(len(people), replicates, seed)
    resampled = kendall_tau(*(_weighted(side, weights) for side in sides))
    resampled = resampled[~np.isnan(resampled)]
    if found is None or not len(resampled):
        return Agreement(found, None, None, len(one), len(people))
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Agreement(found, float(low), float(high), len(one), len(people))


def kendall_tau(x: Floats, y: Floats) -> Floats:
    """Kendall's tau-b of each row, N x M and N x M to N; NaN where a row ties all of x or all of y.

    scipy's function takes one row at a time, which is slow for 2,000 replicates.
    """
    above = np.triu_indices(x.shape[1], 1)
    signs = [np.sign(z[:, above[0]] - z[:, above[1]]) for z in (x, y)]
    agree = (signs[0] * signs[1]).sum(1)
    pairs = np.sqrt((signs[0] ** 2).sum(1) * (signs[1] ** 2).sum(1))
    tau: Floats = np.divide(agree, pairs, out=np.full(len(x), np.nan), where=pairs > 0)
    return tau


def _sums(side: Sequence[ByPerson], people: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum and number of each method's scores for each person, methods x people."""
    totals = [[float(np.sum(scores.get(who, ()))) for who in people] for scores in side]
    counts = [[float(len(scores.get(who, ()))) for who in people] for scores in side]
    return np.array(totals, np.float64), np.array(counts, np.float64)


def _weighted(side: tuple[Floats, Floats], weights: Floats) -> Floats:
    """Means over the resampled people, replicates x methods; NaN where a method has no score among them."""
    totals, counts = (weights @ part.T for part in side)
    means: Floats = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return means


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: the adjusted probabilities, in the order given."""
    adjusted = [1.0] * len(p)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return adjusted


def jackknife(whole: float, without: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of a set's statistic from its values with one identity left out at a time.

    A bootstrap would repeat images, which biases FID, KID and IS; a jackknife does not.
    None for fewer than three identities.
    """
    g = len(without)
    if g < 3:
        return None
    spread = np.asarray(without, dtype=np.float64)
    error = float(np.sqrt((g - 1) / g * ((spread - spread.mean()) ** 2).sum()))
    width = error * float(stdtrit(g - 1, (1 + LEVEL) / 2))
    return whole - width, whole + width


def _variance(
    x: Floats, identities: NDArray[np.intp], prompts: NDArray[np.intp], seed: int, replicates: int
) -> tuple[float, float]:
    """Variance of the mean, and its degrees of freedom."""
    by_identity = _bootstrap(x, identities, seed, replicates)
    people = int(identities.max()) + 1
    kinds = int(prompts.max()) + 1
    if kinds == 1:
        return by_identity, people - 1
    by_prompt = _bootstrap(x, prompts, seed + 1, replicates)
    by_both = _bootstrap(x, _numbered(list(zip(identities, prompts, strict=True))), seed + 2, replicates)
    # The difference can fall below its parts by chance; the variance is at least that over people alone.
    variance = max(by_identity + by_prompt - by_both, by_identity, by_prompt)
    if variance == 0:
        return 0.0, people - 1
    df = variance**2 / (by_identity**2 / (people - 1) + by_prompt**2 / (kinds - 1))
    return variance, float(np.clip(df, min(people, kinds) - 1, people + kinds - 2))


def _bootstrap(x: Floats, clusters: NDArray[np.intp], seed: int, replicates: int) -> float:
    """Variance of the mean when whole clusters are resampled, corrected for small-sample bias."""
    count = int(clusters.max()) + 1
    totals = np.bincount(clusters, weights=x - x.mean(), minlength=count)
    sizes = np.bincount(clusters, minlength=count).astype(np.float64)
    weights = _weights(count, replicates, seed)
    means = (weights @ totals) / (weights @ sizes)
    return float((means**2).mean() * count / (count - 1))


@lru_cache(maxsize=64)
def _weights(clusters: int, replicates: int, seed: int) -> Floats:
    """Number of times each cluster is resampled, replicates x clusters."""
    rng = np.random.default_rng((seed, clusters))
    counts = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates)
    return counts.astype(np.float64)


def _numbered(labels: Sequence[Hashable]) -> NDArray[np.intp]:
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(label, len(index)) for label in labels], dtype=np.intp)
