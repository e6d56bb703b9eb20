"""Means, differences and their intervals for images clustered by person and by prompt, in closed form.

Method, in ten lines:
1. People and prompts cluster the images; all recaptions together count as one prompt.
2. People and prompts are random: the variance of a mean is that over people, plus that over prompts, minus
   that over their intersections (Cameron, Gelbach & Miller 2011, equation 2.11), each from cluster sums.
3. A component counts only where it exceeds the intersections' variance by a quarter; otherwise it is noise.
4. Each variance is corrected by G / (G - 1); G = 1 / sum(w^2), the effective number of clusters (Kish 1965).
5. The interval is Student's t with Satterthwaite's (1946) degrees of freedom over the components.
6. Skewness is corrected by Hall's (1992) cubic transformation, so that the interval may be asymmetric.
7. A share of images has Wilson's (1927) interval at the effective number of images.
8. Fewer than five people get no interval and no verdict.
9. Compared differences are corrected by Holm (1979), see `holm.py`; their intervals have the level it tested.
10. `fixed_prompts=True` takes the prompts as given: only people vary.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

LEVEL: Final = 0.95
MIN_PEOPLE: Final = 5
"""Fewest people for an interval."""
COMPONENT_RATIO: Final = 1.25
"""A component of variance counts if it exceeds that of the intersections by this factor."""
SKEW_WEIGHT: Final = 0.5
"""Share of the estimated skewness that is corrected: that of few clusters is itself uncertain."""
MAX_SKEW: Final = 1.5
"""Largest skewness of a mean that Hall's transformation is used with."""
IMAGES_PER_PERSON: Final = 2.0
"""Independent images that one person is worth for a share near 0 or 1."""
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Pair = tuple[Hashable, Hashable]
"""An identity and a prompt."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval; no interval for fewer than MIN_PEOPLE people."""

    mean: float
    low: float | None
    high: float | None
    n: int
    """Number of values."""
    p: float | None = None
    """Two-sided p-value of the hypothesis that the true mean is 0; None without an interval."""


@dataclass(frozen=True)
class _Spread:
    """Standard error of a mean, its degrees of freedom, and the skewness of its distribution."""

    error: float
    df: float
    skew: float


def estimate(
    values: Sequence[float] | Floats,
    pairs: Sequence[Pair],
    *,
    share: bool = False,
    fixed_prompts: bool = False,
    level: float = LEVEL,
) -> Estimate:
    """The mean of `values` and its interval at `level`, clustered by both members of `pairs`.

    There is one pair per value. The mean of a `share` is between 0 and 1, and so is its interval. Raises
    ValueError where the lengths differ or there is no value.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0 or len(x) != len(pairs):
        raise ValueError(f"{len(x)} values, {len(pairs)} pairs; expected one pair per value")
    mean = float(x.mean())
    people = numbered([identity for identity, _ in pairs])
    if people.max() + 1 < MIN_PEOPLE:
        return Estimate(mean, None, None, len(x))
    prompts = np.zeros_like(people) if fixed_prompts else numbered([prompt for _, prompt in pairs])
    spread = _spread(x, people, prompts)
    low, high = _interval(mean, spread, level)
    if share:
        low, high = _wilson(mean, spread, int(people.max()) + 1, len(x), level)
    return Estimate(mean, low, high, len(x), _p_value(mean, spread))


def paired_difference(
    one: Mapping[Pair, float],
    other: Mapping[Pair, float],
    *,
    shares: bool = False,
    fixed_prompts: bool = False,
    level: float = LEVEL,
) -> Estimate | None:
    """Mean of `one` minus `other` over the (identity, prompt) pairs that both contain; None without any.

    `shares`: both are shares of images, whose difference may be the same for every person although the shares
    are uncertain; its standard error is at least that of half an image per person.
    """
    found = spread_of_difference(one, other, shares=shares, fixed_prompts=fixed_prompts)
    return None if found is None else found.estimate(level)


@dataclass(frozen=True)
class PairedDifference:
    """A mean difference and its spread, from which intervals of several levels are computed."""

    mean: float
    n: int
    spread: _Spread | None
    """None for fewer than MIN_PEOPLE people."""

    def estimate(self, level: float) -> Estimate:
        """The difference with its interval at `level`."""
        if self.spread is None:
            return Estimate(self.mean, None, None, self.n)
        low, high = _interval(self.mean, self.spread, level)
        return Estimate(self.mean, low, high, self.n, _p_value(self.mean, self.spread))


def spread_of_difference(
    one: Mapping[Pair, float], other: Mapping[Pair, float], *, shares: bool, fixed_prompts: bool
) -> PairedDifference | None:
    """`paired_difference` before its interval."""
    shared = tuple(one) if one.keys() == other.keys() else tuple(pair for pair in one if pair in other)
    if not shared:
        return None
    x = np.array([one[pair] - other[pair] for pair in shared])
    people, prompts = _clusters(shared)
    mean = float(x.mean())
    if people.max() + 1 < MIN_PEOPLE:
        return PairedDifference(mean, len(x), None)
    if fixed_prompts:
        prompts = np.zeros_like(people)
    spread = _spread(x, people, prompts)
    least = 0.5 / (people.max() + 1) if shares else 0.0
    if spread.error < least:
        spread = _Spread(least, float(people.max()), 0.0)
    return PairedDifference(mean, len(x), spread)


def jackknife(whole: float, without: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """Interval of a statistic from its values with one identity left out at a time (Efron & Stein 1981).

    None for fewer than MIN_PEOPLE identities. A bootstrap would repeat images, which biases FID, KID and IS.
    """
    g = len(without)
    if g < MIN_PEOPLE:
        return None
    spread = np.asarray(without, dtype=np.float64)
    error = float(np.sqrt((g - 1) / g * ((spread - spread.mean()) ** 2).sum()))
    width = error * float(stdtrit(g - 1, (1 + level) / 2))
    return whole - width, whole + width


@lru_cache(maxsize=64)
def _clusters(pairs: tuple[Pair, ...]) -> tuple[Indices, Indices]:
    """Numbers of the people and of the prompts; cached, because all methods of a column share their pairs."""
    return numbered([identity for identity, _ in pairs]), numbered([prompt for _, prompt in pairs])


def numbered(labels: Sequence[Hashable]) -> Indices:
    """Equal labels get equal numbers, from 0."""
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(label, len(index)) for label in labels], dtype=np.intp)


def _spread(x: Floats, people: Indices, prompts: Indices) -> _Spread:
    """Variance of the mean of `x` over two crossed kinds of clusters."""
    by_person, people_count, person_skew = _component(x, people)
    if prompts.max() == 0:
        return _standardised(by_person, people_count - 1, person_skew)
    by_prompt, prompt_count, prompt_skew = _component(x, prompts)
    both = people * (prompts.max() + 1) + prompts
    by_both, _, both_skew = _component(x, np.unique(both, return_inverse=True)[1])
    counts = [by_person > COMPONENT_RATIO * by_both, by_prompt > COMPONENT_RATIO * by_both]
    rest = 1 - sum(counts)
    parts = (
        (counts[0] * by_person, people_count - 1, counts[0] * person_skew),
        (counts[1] * by_prompt, prompt_count - 1, counts[1] * prompt_skew),
        (rest * by_both, (people_count - 1) * (prompt_count - 1), rest * both_skew),
    )
    variance = sum(part for part, _, _ in parts)
    if variance <= 0:
        return _Spread(0.0, people_count - 1, 0.0)
    df = variance**2 / sum(part**2 / df for part, df, _ in parts)
    return _standardised(variance, max(df, min(people_count, prompt_count) - 1), sum(k for _, _, k in parts))


def _component(x: Floats, clusters: Indices) -> tuple[float, float, float]:
    """Variance, effective number of clusters and third moment of the mean when whole clusters vary."""
    sizes = np.bincount(clusters)
    totals = np.bincount(clusters, weights=x - x.mean())
    count = float(sizes.sum() ** 2 / (sizes.astype(np.float64) ** 2).sum())
    if count <= 1:
        return 0.0, 2.0, 0.0
    variance = float((totals**2).sum() / len(x) ** 2 * count / (count - 1))
    return variance, count, float((totals**3).sum() / len(x) ** 3)


def _standardised(variance: float, df: float, third_moment: float) -> _Spread:
    if variance <= 0:
        return _Spread(0.0, df, 0.0)
    skew = float(np.clip(SKEW_WEIGHT * third_moment / variance**1.5, -MAX_SKEW, MAX_SKEW))
    return _Spread(float(np.sqrt(variance)), df, skew)


def _hall(t: float, skew: float) -> float:
    """Hall's (1992) transformation of a studentised mean: monotone, and less skewed."""
    return t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6


def _hall_inverse(z: float, skew: float) -> float:
    if abs(skew) < 1e-6:
        return z
    return 3 / skew * (float(np.cbrt(1 + skew * (z - skew / 6))) - 1)


def _interval(mean: float, spread: _Spread, level: float) -> tuple[float, float]:
    t = float(stdtrit(spread.df, (1 + level) / 2))
    low, high = (_hall_inverse(sign * t, spread.skew) for sign in (1, -1))
    return mean - spread.error * low, mean - spread.error * high


def _p_value(mean: float, spread: _Spread) -> float:
    """Two-sided p-value that agrees with the interval: below 1 - level exactly where it excludes 0."""
    if spread.error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(spread.df, -abs(_hall(mean / spread.error, spread.skew))))


def _wilson(share: float, spread: _Spread, people: int, count: int, level: float) -> tuple[float, float]:
    """Wilson's interval at the number of independent images that would have this standard error."""
    # Without any spread, each person is one observation.
    size = share * (1 - share) / spread.error**2 if spread.error > 0 else float(people)
    size = min(max(size, 1.0), float(count))
    # Near 0 and 1 few images decide the spread: the number of people limits what it can prove.
    size = 1 / (1 / size + (1 - 4 * share * (1 - share)) / (IMAGES_PER_PERSON * people))
    t = float(stdtrit(spread.df if spread.error > 0 else people - 1, (1 + level) / 2))
    centre = (share + t**2 / (2 * size)) / (1 + t**2 / size)
    width = t * float(np.sqrt(share * (1 - share) / size + t**2 / (4 * size**2))) / (1 + t**2 / size)
    # Rounding could put an end of 0 or 1 beyond the share itself.
    return max(0.0, min(share, centre - width)), min(1.0, max(share, centre + width))
