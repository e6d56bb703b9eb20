"""The kernel distance between two clouds of features (KID, Binkowski et al. 2018)."""

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
    """Unbiased, so it may be below zero; zero is expected of two samples of one distribution."""
    spread: float
    """Standard deviation over the subsets (what other libraries print); 0 with a single subset."""
    standard_error: float
    """How far the value of two other samples of these sizes would lie off: the two-sample jackknife."""


def kernel_distance(
    x: Features, y: Features, *, subsets: int = 100, subset_size: int = 1000, rng: np.random.Generator
) -> KernelDistance:
    """Mean of the unbiased squared MMD (cubic kernel) over random subsets of N x D and M x D features.

    Where a set has no more than `subset_size` rows, subsets would throw information away: then both sets are
    compared whole, once. Raises ValueError for fewer than two rows, unequal widths, or numbers not finite.
    """
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:] or x.ndim != 2:
        raise ValueError(f"features of shapes {x.shape} and {y.shape}, wanted one width and two rows each")
    x, y = checked_rows(x), checked_rows(y)
    sums = _KernelSums.of(x, y)
    if min(len(x), len(y)) <= subset_size:
        return KernelDistance(sums.squared_mmd, 0.0, sums.jackknife)
    values = [
        squared_mmd(x[rng.choice(len(x), subset_size, False)], y[rng.choice(len(y), subset_size, False)])
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values)), sums.jackknife)


def squared_mmd(x: Features, y: Features) -> float:
    """The unbiased estimate (Gretton et al. 2012, eq. 3) with the kernel (x'y / D + 1)^3."""
    return _KernelSums.of(x, y).squared_mmd


@dataclass(frozen=True)
class _KernelSums:
    """For each row, its summed kernel with the others of its own set, and with the other set."""

    xx: NDArray[np.float64]
    yy: NDArray[np.float64]
    xy: NDArray[np.float64]
    yx: NDArray[np.float64]

    @classmethod
    def of(cls, x: Features, y: Features) -> _KernelSums:
        between = _kernel(x, y)
        return cls(_own(x), _own(y), between.sum(1), between.sum(0))

    @property
    def squared_mmd(self) -> float:
        n, m = len(self.xx), len(self.yy)
        within = self.xx.sum() / (n * (n - 1)) + self.yy.sum() / (m * (m - 1))
        return float(within - 2 * self.xy.sum() / (n * m))

    @property
    def jackknife(self) -> float:
        """The root of the summed jackknife variances of leaving out each x and each y."""
        n, m = len(self.xx), len(self.yy)
        if min(n, m) < 3:
            return float("nan")
        own_x, own_y, between = self.xx.sum(), self.yy.sum(), self.xy.sum()
        without_x = (own_x - 2 * self.xx) / ((n - 1) * (n - 2)) - 2 * (between - self.xy) / ((n - 1) * m)
        without_y = (own_y - 2 * self.yy) / ((m - 1) * (m - 2)) - 2 * (between - self.yx) / (n * (m - 1))
        return float(np.sqrt((n - 1) * np.var(without_x) + (m - 1) * np.var(without_y)))


def _kernel(x: Features, y: Features) -> NDArray[np.float64]:
    # float64: the discrepancy is a small difference of sums of cubes.
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kernel: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _own(x: Features) -> NDArray[np.float64]:
    kernel = _kernel(x, x)
    sums: NDArray[np.float64] = kernel.sum(1) - kernel.diagonal()
    return sums
