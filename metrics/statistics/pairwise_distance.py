"""Squared Euclidean distances between the rows of one feature matrix."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features
from metrics.statistics.checked_rows import checked_rows

COLUMNS: Final = 1 << 14
"""Number of columns processed at a time."""


def squared_distances(features: Features) -> NDArray[np.float64]:
    """Squared Euclidean distances between the rows of N x D features, N x N, with a diagonal of 0.

    LPIPS (Zhang et al. 2018, eq. 1) is such a distance between suitably weighted feature maps. Raises
    ValueError for non-finite numbers.
    """
    gram = np.zeros((len(features), len(features)))
    # Feature maps have millions of columns: all of them in double precision would exhaust memory and cache.
    for start in range(0, features.shape[1], COLUMNS):
        x = checked_rows(features[:, start : start + COLUMNS])
        # Subtracting the mean first keeps the digits that |a|^2 + |b|^2 - 2ab would lose for similar images.
        x = x - x.mean(0)
        gram += x @ x.T
    squares = gram.diagonal()
    distances: NDArray[np.float64] = (squares[:, None] + squares[None] - 2 * gram).clip(0)
    np.fill_diagonal(distances, 0.0)
    return distances


def mean_to_others(features: Features) -> NDArray[np.float64]:
    """Mean distance of each row to the other rows; the mean of these is the mean over all pairs."""
    distances: NDArray[np.float64] = squared_distances(features).sum(1) / (len(features) - 1)
    return distances
