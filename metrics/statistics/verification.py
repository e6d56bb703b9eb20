"""Cosine similarity of faces, and thresholds and ROC area of face verification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features


def cosine(x: Features, y: Features) -> NDArray[np.float64]:
    """Cosines between rows of N x D and M x D vectors, N x M, in -1..1; NaN for rows that are not finite."""
    return _unit(x) @ _unit(y).T


def mean_cosine(x: Features, people: Features) -> NDArray[np.float64]:
    """Mean cosine of each row to the finite rows of `people`; NaN if there are none."""
    finite = people[np.isfinite(people).all(1)]
    if not len(finite):
        return np.full(len(x), np.nan)
    mean: NDArray[np.float64] = cosine(x, finite).mean(1)
    return mean


@dataclass(frozen=True)
class Trials:
    """Verification trials of real photographs against real people, for calibration."""

    genuine: NDArray[np.float64]
    """Mean cosine of each photograph to the *other* photographs of its own person."""
    impostor: NDArray[np.float64]
    """Mean cosine of each photograph to the photographs of each other person."""


def trials(vectors: Features, identities: NDArray[np.str_]) -> Trials:
    """All trials among N x D vectors with their N identities; rows that are not finite are ignored."""
    finite = np.isfinite(vectors).all(1)
    vectors, identities = vectors[finite], identities[finite]
    cosines, genuine, impostor = cosine(vectors, vectors), [], []
    for person in np.unique(identities):
        own = identities == person
        if own.sum() > 1:
            within = cosines[np.ix_(own, own)]
            genuine.append((within.sum(1) - within.diagonal()) / (own.sum() - 1))
        impostor.append(cosines[np.ix_(~own, own)].mean(1))
    empty = [np.empty(0)]
    return Trials(np.concatenate(genuine or empty), np.concatenate(impostor or empty))


def threshold_at(impostor: NDArray[np.float64], false_accepts: float) -> float:
    """The cosine that at most this share of impostors exceeds; ValueError if the share is under one trial."""
    if len(impostor) * false_accepts < 1:
        min_trials = int(np.ceil(1 / false_accepts))
        raise ValueError(f"{len(impostor)} trials of different people, expected at least {min_trials}")
    return float(np.quantile(impostor, 1 - false_accepts, method="higher"))


def area_under_curve(same: NDArray[np.float64], different: NDArray[np.float64]) -> float:
    """Probability that a same-person score exceeds a different-person one (Mann-Whitney); ties count half."""
    if not len(same) or not len(different):
        raise ValueError(f"{len(same)} same and {len(different)} different pairs, expected some of each")
    ordered = np.sort(different)
    below = np.searchsorted(ordered, same, "left") + np.searchsorted(ordered, same, "right")
    return float(below.mean() / (2 * len(different)))


def _unit(x: Features) -> NDArray[np.float64]:
    x = np.asarray(x, np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    valid = np.isfinite(lengths) & (lengths > 0)
    unit: NDArray[np.float64] = np.where(valid, x, np.nan) / np.where(valid, lengths, 1.0)
    return unit
