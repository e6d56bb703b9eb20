"""How different pictures of the same thing are: the mean distance over all their pairs."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features
from metrics.statistics.checked_rows import checked_rows

COLUMNS: Final = 1 << 14
"""So many are taken at a time."""


def pairwise(features: Features) -> NDArray[np.float64]:
    """Squared Euclidean distances between the rows of N x D features, N x N, the diagonal 0.

    LPIPS (Zhang et al. 2018, eq. 1) is such a distance between suitably weighted feature maps. Raises
    ValueError for numbers that are not finite.
    """
    gram = np.zeros((len(features), len(features)))
    # Feature maps have millions of columns: in double precision they would fill the memory, and no cache.
    for start in range(0, features.shape[1], COLUMNS):
        x = checked_rows(features[:, start : start + COLUMNS])
        # Taking the mean off first keeps the digits that |a|^2 + |b|^2 - 2ab would lose for like pictures.
        x = x - x.mean(0)
        gram += x @ x.T
    squares = gram.diagonal()
    distances: NDArray[np.float64] = (squares[:, None] + squares[None] - 2 * gram).clip(0)
    np.fill_diagonal(distances, 0.0)
    return distances


def mean_pairwise(features: Features) -> float:
    """The mean of `pairwise` over the N (N - 1) / 2 pairs; ValueError for fewer than two rows."""
    if len(features) < 2:
        raise ValueError(f"{len(features)} pictures make no pair")
    return float(mean_to_others(features).mean())


def mean_to_others(features: Features) -> NDArray[np.float64]:
    """Each row's mean distance to the other rows; the mean of these is the mean over all pairs."""
    distances: NDArray[np.float64] = pairwise(features).sum(1) / (len(features) - 1)
    return distances
