"""The Inception Score (Salimans et al. 2016) from class probabilities."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features


@dataclass(frozen=True)
class InceptionScore:
    """exp(E KL(p(y|x) || p(y))), between 1 and the smaller of the class count and the images in a split."""

    mean: float
    std: float
    """Over splits (divided by their number, not one less), as other libraries report it; 0 with one split."""


def inception_score(p: Features, splits: int = 1) -> InceptionScore:
    """The score of N x C class probabilities (rows sum to 1), in consecutive, nearly equal splits.

    The marginal p(y) is the mean of each split, so a split of n images cannot exceed n. Raises ValueError for
    fewer than two images in a split, where the score would be 1.0 or noise, and for rows that are not
    probabilities.
    """
    p = _probabilities(p)
    if splits < 1 or len(p) < 2 * splits:
        raise ValueError(f"{len(p)} images in {splits} splits, expected at least two in each")
    ends = [split * len(p) // splits for split in range(splits + 1)]
    parts = [p[start:end] for start, end in itertools.pairwise(ends)]
    scores = [float(np.exp(_divergence(part, part.mean(0)).mean())) for part in parts]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def inception_score_uniform(p: Features) -> float:
    """exp(E KL(p(y|x) || u)) with u uniform over the C classes, a variant that is sometimes published.

    It equals C / exp(mean entropy), between 1 and C: it rewards certain predictions and ignores diversity.
    """
    p = _probabilities(p)
    if not len(p):
        raise ValueError("no images")
    return float(np.exp(_divergence(p, np.full(p.shape[1], 1 / p.shape[1])).mean()))


def _probabilities(p: Features) -> NDArray[np.float64]:
    if p.ndim != 2 or not np.isfinite(p).all() or (p < 0).any() or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise ValueError(f"an array of shape {p.shape} whose rows are not probabilities")
    return np.asarray(p, np.float64)


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """KL(p || q) of each row in nats, with 0 log 0 = 0."""
    safe = np.where(p > 0, p, 1.0)
    nats: NDArray[np.float64] = (p * (np.log(safe) - np.log(np.where(q > 0, q, 1.0)))).sum(1)
    return nats
