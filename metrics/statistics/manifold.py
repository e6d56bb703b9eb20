"""Overlap of two sets of features: precision and recall, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features
from metrics.statistics.checked_rows import checked_rows


@dataclass(frozen=True)
class Manifold:
    """Four shares; only density may exceed 1."""

    precision: float
    """Generated images inside the real manifold: fidelity (Kynkaanniemi et al. 2019, eq. 3)."""
    recall: float
    """Real images inside the generated manifold: diversity (ibid., eq. 4)."""
    density: float
    """Real balls around a generated image, over k (Naeem et al. 2020, eq. 3)."""
    coverage: float
    """Real images whose ball contains a generated image (ibid., eq. 4)."""


def manifold(generated: Features, real: Features, *, k: int) -> Manifold:
    """Compare N x D with M x D features by balls that reach to each row's k-th nearest other row.

    Kynkaanniemi et al. use k = 3, Naeem et al. k = 5. Raises ValueError if a set has no more than k rows, or
    for non-finite numbers.
    """
    if min(len(generated), len(real)) <= k:
        raise ValueError(f"{len(generated)} generated and {len(real)} real rows, expected more than k = {k}")
    generated, real = checked_rows(generated), checked_rows(real)
    between = _distances(generated, real)
    around_real, around_generated = _radii(real, k), _radii(generated, k)
    inside = between <= around_real[None]
    return Manifold(
        precision=float(inside.any(1).mean()),
        recall=float((between <= around_generated[:, None]).any(0).mean()),
        density=float(inside.sum(1).mean() / k),
        coverage=float((between.min(0) <= around_real).mean()),
    )


def _distances(x: Features, y: Features) -> NDArray[np.float64]:
    """Squared Euclidean distances, N x M; exactly 0 for equal rows: a ball of radius 0 contains copies."""
    centre = y.mean(0)
    x, y = x - centre, y - centre
    scale = np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None]
    squares: NDArray[np.float64] = scale - 2 * x @ y.T
    # The rounding error of equal rows is far below the smallest distance of unequal ones.
    return np.where(squares > 1e-12 * scale, squares, 0.0)


def _radii(x: Features, k: int) -> NDArray[np.float64]:
    distances = _distances(x, x)
    np.fill_diagonal(distances, np.inf)
    return np.partition(distances, k - 1, axis=1)[:, k - 1]
