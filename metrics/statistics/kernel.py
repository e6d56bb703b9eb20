"""The kernel distance between two sets of features (KID, Binkowski et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features
from metrics.statistics.checked_rows import checked_rows


@dataclass(frozen=True)
class KernelDistance:
    """An estimate of the squared maximum mean discrepancy."""

    value: float
    """Unbiased, so it may be negative; its expectation is zero for two samples of one distribution."""
    spread: float
    """Standard deviation over the subsets, as other libraries report it; 0 with a single subset."""


def kernel_distance(
    x: Features, y: Features, *, subsets: int = 100, subset_size: int = 1000, rng: np.random.Generator
) -> KernelDistance:
    """Mean of the unbiased squared MMD (cubic kernel) over random subsets of N x D and M x D features.

    If a set has no more than `subset_size` rows, both sets are compared whole, once, because subsets would
    discard information. Raises ValueError for fewer than two rows, unequal widths, or non-finite numbers.
    """
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:] or x.ndim != 2:
        raise ValueError(f"features of shapes {x.shape} and {y.shape}, expected one width and two rows each")
    x, y = checked_rows(x), checked_rows(y)
    if min(len(x), len(y)) <= subset_size:
        return KernelDistance(squared_mmd(x, y), 0.0)
    values = [
        squared_mmd(x[rng.choice(len(x), subset_size, False)], y[rng.choice(len(y), subset_size, False)])
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def squared_mmd(x: Features, y: Features) -> float:
    """The unbiased estimate (Gretton et al. 2012, eq. 3) with the kernel (x'y / D + 1)^3."""
    n, m = len(x), len(y)
    within = _sum_without_diagonal(x) / (n * (n - 1)) + _sum_without_diagonal(y) / (m * (m - 1))
    # Row sums first: a fixed order of summation keeps published scores reproducible to the bit.
    between = _kernel(x, y).sum(1).sum()
    return float(within - 2 * between / (n * m))


def _kernel(x: Features, y: Features) -> NDArray[np.float64]:
    # float64: the discrepancy is a small difference of sums of cubes.
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kernel: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _sum_without_diagonal(x: Features) -> np.float64:
    kernel = _kernel(x, x)
    total: np.float64 = (kernel.sum(1) - kernel.diagonal()).sum()
    return total
