"""Statistics of `measure_world.py`: 95 % intervals for images that are clustered by person."""

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
"""Person index of each image."""


@dataclass(frozen=True)
class Measured:
    """A value, its 95 % interval, and the numbers of images and people behind it."""

    value: float
    low: float | None
    high: float | None
    n: int
    people: int | None = None


def mean(values: Sequence[float], clusters: People) -> Measured:
    """Mean with an interval clustered by person (or by another cluster label)."""
    found = estimate(values, [(cluster, 0) for cluster in clusters.tolist()])
    return Measured(found.mean, found.low, found.high, found.n, len(set(clusters.tolist())))


def share(correct: Sequence[bool], people: People) -> Measured:
    """Share of correct images with Wilson's (1927) interval at the effective sample size.

    The sample size is divided by the design effect if that is above 1 (Dean & Pagano 2015). The design effect
    is the variance of the share clustered by person, relative to that of independent images. So the interval
    is never narrower than Wilson's own, and has a width above 0 even if all images are correct.
    """
    x = np.asarray(correct, np.float64)
    who, p = _indices(people), float(x.mean())
    clusters = int(who.max()) + 1
    size, independent = float(len(x)), float(len(x) * p * (1 - p))
    if clusters > 1 and independent > 0:
        clustered = float(np.square(np.bincount(who, x - p)).sum()) * clusters / (clusters - 1)
        size /= max(1.0, clustered / independent)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = (p + z**2 / (2 * size)) / (1 + z**2 / size)
    width = z * sqrt(p * (1 - p) / size + z**2 / (4 * size**2)) / (1 + z**2 / size)
    return Measured(p, max(0.0, centre - width), min(1.0, centre + width), len(x), clusters)


def area(vectors: Features, people: People, *, seed: int, replicates: int = REPLICATES) -> Measured:
    """AUC over all pairs of N x D vectors, with a percentile bootstrap that resamples people.

    The pairs of a person sampled k times count k times; pairs with another person sampled m times count k m
    times. Copies of a person are not two people, and copies of an image are not a pair. Rows of NaN (no face)
    are ignored.
    """
    finite = np.isfinite(vectors).all(1)
    who = _indices(people[finite])
    pairs = Pairs.of(cosine(vectors[finite], vectors[finite]), who)
    clusters = int(who.max()) + 1
    counts = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), replicates)
    areas = [pairs.area(count.astype(np.float64)) for count in counts]
    low, high = np.nanquantile(areas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measured(
        area_under_curve(pairs.same, pairs.different), float(low), float(high), len(who), clusters
    )


def distance(
    metric: Callable[[Features, Features], float], x: Features, against: Features, people: People
) -> Measured:
    """Distance between two sets of N x D features, with a jackknife over the people of the first."""
    whole = metric(x, against)
    leave_one_out = [metric(x[people != person], against) for person in np.unique(people)]
    low, high = jackknife(whole, leave_one_out) or (None, None)
    return Measured(whole, low, high, len(x), len(leave_one_out))


@dataclass(frozen=True)
class Pairs:
    """Cosines and persons of all image pairs, sorted so that a bootstrap replicate takes one pass."""

    same: Floats
    same_person: NDArray[np.intp]
    different: Floats
    """Ascending."""
    one: NDArray[np.intp]
    other: NDArray[np.intp]
    below: NDArray[np.intp]
    """For each of `same`, the number of `different` below it."""
    at_or_below: NDArray[np.intp]
    """For each of `same`, the number of `different` below or equal to it."""

    @classmethod
    def of(cls, cosines: Floats, who: NDArray[np.intp]) -> "Pairs":
        i, j = np.triu_indices(len(who), 1)
        equal = who[i] == who[j]
        same, unsorted = cosines[i[equal], j[equal]], cosines[i[~equal], j[~equal]]
        order = np.argsort(unsorted)
        different, one, other = unsorted[order], who[i[~equal]][order], who[j[~equal]][order]
        below, at_or_below = (np.searchsorted(different, same, side) for side in ("left", "right"))
        return cls(same, who[i[equal]], different, one, other, below, at_or_below)

    def area(self, counts: Floats) -> float:
        """AUC with each person weighted by its count; NaN if there are no same or no different pairs."""
        own = counts[self.same_person]
        sums = np.concatenate([[0.0], np.cumsum(counts[self.one] * counts[self.other])])
        total = 2 * own.sum() * sums[-1]
        return float(own @ (sums[self.below] + sums[self.at_or_below]) / total) if total else float("nan")


def _indices(labels: People) -> NDArray[np.intp]:
    return np.unique(labels, return_inverse=True)[1]
