"""The Frechet distance between two sets of features (FID, Heusel et al. 2017), exact at every size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features
from metrics.statistics.checked_rows import checked_rows


def frechet_distance(x: Features, y: Features) -> float:
    """||mu_x - mu_y||^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)) of Gaussians fitted to N x D and M x D features.

    With A and B the centred features over sqrt(n - 1), S_x = A'A and S_y = B'B. The trace of the root is then
    the nuclear norm of A B'. No root of a D x D matrix is computed and nothing can become complex. The result
    is exact where N < D, in float64 and never negative. Raises ValueError for fewer than two rows, unequal
    widths, and numbers that are not finite or whose squares are not.
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


def frechet_infinity(
    x: Features,
    y: Features,
    *,
    points: int = 15,
    rng: np.random.Generator,
    rest: NDArray[np.bool_] | None = None,
) -> float:
    """The distance extrapolated to infinitely many images x (Chong & Forsyth 2020, FID-infinity).

    The bias of the distance falls as 1 / N. Distances are computed at `points` sizes from a fifth of N to N,
    each of a random subset of x against all of y, and fitted by a line in 1 / N. Its value at 0 is returned;
    it may be negative. y is always used whole, so its own bias remains. Each subset consists of the rows with
    the smallest random numbers. With `rest`, only these rows of x are used, and they keep their numbers: the
    subsets are those of the whole x, apart from the rows left out. Raises ValueError for fewer than 25 rows,
    or fewer than three times the effective dimension of y: there the bias is not yet linear in 1 / N, and
    most of it would remain in the result.
    """
    order = rng.random((points, len(x))).argsort(axis=1)
    if rest is not None:
        position = np.cumsum(rest) - 1
        order = np.array([position[row[rest[row]]] for row in order])
        x = x[rest]
    min_rows = max(25, math.ceil(3 * effective_dimension(y)))
    if len(x) < min_rows:
        raise ValueError(
            f"{len(x)} rows, expected at least {min_rows} to extrapolate features spread like these"
        )
    sizes = np.linspace(len(x) // 5, len(x), points).astype(int)
    distances = [frechet_distance(x[row[:size]], y) for row, size in zip(order, sizes, strict=True)]
    _, at_infinity = np.polyfit(1 / sizes, distances, 1)
    return float(at_infinity)


def effective_dimension(x: Features) -> float:
    """Number of directions in which N x D features vary: (sum of standard deviations)^2 / total variance.

    Between 1 and the smaller of N - 1 and D; 0 without variation. It uses deviations, not variances, because
    their sum is the quantity that few rows estimate badly.
    """
    a = _centred(checked_rows(x, 2))
    deviations = np.linalg.svd(_reduced(a), compute_uv=False)
    total = float(np.square(deviations).sum())
    return float(deviations.sum()) ** 2 / total if total > 0 else 0.0


def _centred(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a: NDArray[np.float64] = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return a


def _reduced(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most D rows with the same A'A: the R of a QR decomposition if there are more rows."""
    return np.asarray(np.linalg.qr(a, mode="r")) if len(a) > a.shape[1] else a


def _nuclear_norm(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
