"""The Frechet distance between two clouds of features (FID, Heusel et al. 2017), exact at every size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features
from metrics.statistics.checked_rows import checked_rows


def frechet_distance(x: Features, y: Features) -> float:
    """||mu_x - mu_y||^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)) of Gaussians fitted to N x D and M x D features.

    With A and B the centred features over sqrt(n - 1), S_x = A'A and S_y = B'B, the trace of the root is the
    nuclear norm of A B': no root of a D x D matrix is taken, nothing can become complex, and the result is
    exact where N < D, in float64 and never below zero. Raises ValueError for fewer than two rows, unequal
    widths, or numbers that are not finite or whose squares are not.
    """
    x, y = checked_rows(x, 2), checked_rows(y, 2)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"features of width {x.shape[1]} and {y.shape[1]}")
    a, b = _centred(x), _centred(y)
    shift = float(np.square(x.mean(0) - y.mean(0)).sum())
    spread = float(np.square(a).sum() + np.square(b).sum())
    distance = shift + spread - 2 * _nuclear_norm(_reduced(a), _reduced(b))
    if not np.isfinite(distance):
        raise ValueError("features whose squares are not finite")
    return max(0.0, distance)


def frechet_infinity(x: Features, y: Features, *, points: int = 15, rng: np.random.Generator) -> float:
    """The distance extrapolated to infinitely many pictures x (Chong & Forsyth 2020, FID-infinity).

    The bias of the distance falls as 1 / N: distances at `points` sizes from a fifth of N to N, each of a
    random subset of x against all of y, are fitted by a line in 1 / N, whose value at 0 is returned. It may
    be below zero. y is left whole, so its own bias remains. Raises ValueError for fewer rows than 25, or than
    three times the directions that y spreads over: there the bias is no line in 1 / N yet, and most of it
    would stay in what is called free of it.
    """
    least = max(25, math.ceil(3 * directions(y)))
    if len(x) < least:
        raise ValueError(f"{len(x)} rows, wanted at least {least} to extrapolate features spread like these")
    sizes = np.unique(np.linspace(len(x) // 5, len(x), points).astype(int))
    distances = [frechet_distance(x[rng.choice(len(x), size, replace=False)], y) for size in sizes]
    _, at_infinity = np.polyfit(1 / sizes, distances, 1)
    return float(at_infinity)


def directions(x: Features) -> float:
    """Over how many directions N x D features spread: (sum of their standard deviations)^2 / total variance.

    Between 1 and the smaller of N - 1 and D; 0 without any spread. Deviations, not variances, count here, for
    it is their sum that few rows get wrong.
    """
    a = _centred(checked_rows(x, 2))
    deviations = np.linalg.svd(_reduced(a), compute_uv=False)
    total = float(np.square(deviations).sum())
    return float(deviations.sum()) ** 2 / total if total > 0 else 0.0


def _centred(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a: NDArray[np.float64] = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return a


def _reduced(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most D rows with the same A'A: the R of a QR decomposition, where there are more."""
    return np.asarray(np.linalg.qr(a, mode="r")) if len(a) > a.shape[1] else a


def _nuclear_norm(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
