"""Intervals over voters and people: votes of one voter are alike, and so are votes on images of one person.

The pairs of a person and a prompt are clusters within the people; of nested clusters, the larger ones are
used (Cameron & Miller 2015). In simulations of methods that suit some of 5 to 20 people better than others
(`results/statistics/votes.md`), clusters of pairs cover the true strengths in 71 to 94 % of the rounds,
clusters of people in 94 to 96 %.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics import LEVEL, MIN_PEOPLE, Estimate, Pair, estimate


def has_intervals(clusters: Sequence[Pair]) -> bool:
    """Whether there are at least MIN_PEOPLE voters and as many people; `clusters` are pairs of both."""
    return all(len({pair[kind] for pair in clusters}) >= MIN_PEOPLE for kind in (0, 1))


def clustered_estimate(
    values: Sequence[float] | NDArray[np.float64],
    clusters: Sequence[Pair],
    *,
    share: bool = False,
    level: float = LEVEL,
) -> Estimate:
    """The mean over votes, with an interval over other voters and people if there are enough of both."""
    found = estimate(values, clusters, share=share, level=level)
    return found if has_intervals(clusters) else replace(found, low=None, high=None, p=None)
