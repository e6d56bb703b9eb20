"""The statistics of `measure_world.py`: 95 % intervals that know that pictures of one person are alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics import LEVEL, estimate, jackknife
from metrics.interface import Features
from metrics.statistics.verification import area_under_curve, cosine

REPLICATES: Final = 1000
Floats = NDArray[np.float64]
People = NDArray[np.int64]
"""The number of each picture's person."""


@dataclass(frozen=True)
class Measured:
    """A number, its 95 % interval, and of how many pictures and people it is."""

    value: float
    low: float | None
    high: float | None
    n: int
    people: int | None = None


def mean(values: Sequence[float], clusters: People, *, seed: int) -> Measured:
    """The mean and an interval clustered by person (or by whatever else was measured together)."""
    found = estimate(values, [(cluster, 0) for cluster in clusters.tolist()], seed=seed)
    return Measured(found.mean, found.low, found.high, found.n, len(set(clusters.tolist())))


def share(right: Sequence[bool], people: People) -> Measured:
    """The share that is right, by Wilson's (1927) interval at the effective size of a clustered sample.

    The size is divided by the design effect, how many times the variance of the share over whole people
    is that over single pictures, where it is above 1 (Dean & Pagano 2015): it is never narrower than
    Wilson's own, and not of width 0 where all are right.
    """
    x = np.asarray(right, np.float64)
    who, p = _numbered(people), float(x.mean())
    clusters = int(who.max()) + 1
    size, alone = float(len(x)), float(len(x) * p * (1 - p))
    if clusters > 1 and alone > 0:
        together = float(np.square(np.bincount(who, x - p)).sum()) * clusters / (clusters - 1)
        size /= max(1.0, together / alone)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = (p + z**2 / (2 * size)) / (1 + z**2 / size)
    width = z * sqrt(p * (1 - p) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    return Measured(p, max(0.0, centre - width), min(1.0, centre + width), len(x), clusters)


def area(vectors: Features, people: People, *, seed: int, replicates: int = REPLICATES) -> Measured:
    """AUC over all pairs of N x D vectors, by a percentile bootstrap that draws whole people.

    A person drawn k times brings each of their own pairs k times, and each pair with somebody drawn m times
    k m times. Copies of a person are not two people, and copies of a picture are no pair. Rows of NaN (no
    face) take no part.
    """
    seen = np.isfinite(vectors).all(1)
    who = _numbered(people[seen])
    pairs = Pairs.of(cosine(vectors[seen], vectors[seen]), who)
    clusters = int(who.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), replicates)
    areas = [pairs.area(times.astype(np.float64)) for times in drawn]
    low, high = np.nanquantile(areas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measured(
        area_under_curve(pairs.same, pairs.different), float(low), float(high), len(who), clusters
    )


def distance(
    kind: Callable[[Features, Features], float], x: Features, against: Features, people: People
) -> Measured:
    """A distance of N x D features from others, by a jackknife over the people of the first."""
    whole = kind(x, against)
    rest = [kind(x[people != person], against) for person in np.unique(people)]
    low, high = jackknife(whole, rest) or (None, None)
    return Measured(whole, low, high, len(x), len(rest))


@dataclass(frozen=True)
class Pairs:
    """Cosines of all pairs of pictures and whose they are, in an order that lets a replicate be one pass."""

    same: Floats
    whose: NDArray[np.intp]
    different: Floats
    """Ascending."""
    one: NDArray[np.intp]
    other: NDArray[np.intp]
    below: NDArray[np.intp]
    """How many of `different` lie below each of `same`."""
    up_to: NDArray[np.intp]
    """How many lie below it or are equal."""

    @classmethod
    def of(cls, cosines: Floats, who: NDArray[np.intp]) -> "Pairs":
        i, j = np.triu_indices(len(who), 1)
        own = who[i] == who[j]
        same, apart = cosines[i[own], j[own]], cosines[i[~own], j[~own]]
        order = np.argsort(apart)
        different, one, other = apart[order], who[i[~own]][order], who[j[~own]][order]
        below, up_to = (np.searchsorted(different, same, side) for side in ("left", "right"))
        return cls(same, who[i[own]], different, one, other, below, up_to)

    def area(self, times: Floats) -> float:
        """AUC where each person was drawn so many times; NaN where a kind of pair is missing."""
        own = times[self.whose]
        sums = np.concatenate([[0.0], np.cumsum(times[self.one] * times[self.other])])
        total = 2 * own.sum() * sums[-1]
        return float(own @ (sums[self.below] + sums[self.up_to]) / total) if total else float("nan")


def _numbered(labels: People) -> NDArray[np.intp]:
    return np.unique(labels, return_inverse=True)[1]
