"""How alike faces are, and whether that is enough to call them the same person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features


def cosine(x: Features, y: Features) -> NDArray[np.float64]:
    """Cosines between rows of N x D and M x D vectors, N x M, in -1..1; NaN for rows that are not finite."""
    return _unit(x) @ _unit(y).T


def mean_cosine(x: Features, people: Features) -> NDArray[np.float64]:
    """Each row's mean cosine to those rows of `people` that are finite; NaN where there are none."""
    seen = people[np.isfinite(people).all(1)]
    if not len(seen):
        return np.full(len(x), np.nan)
    mean: NDArray[np.float64] = cosine(x, seen).mean(1)
    return mean


@dataclass(frozen=True)
class Trials:
    """Real photographs against real people: what a verifier is calibrated on."""

    genuine: NDArray[np.float64]
    """Mean cosine of each photograph to the *other* photographs of its own person."""
    impostor: NDArray[np.float64]
    """Mean cosine of each photograph to the photographs of each other person."""


def trials(vectors: Features, identities: NDArray[np.str_]) -> Trials:
    """All trials among N x D vectors with their N identities; rows that are not finite take no part."""
    seen = np.isfinite(vectors).all(1)
    vectors, identities = vectors[seen], identities[seen]
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
    """The cosine that at most this share of impostors exceeds; ValueError where that is under one trial."""
    if len(impostor) * false_accepts < 1:
        least = int(np.ceil(1 / false_accepts))
        raise ValueError(f"{len(impostor)} trials of different people, wanted at least {least}")
    return float(np.quantile(impostor, 1 - false_accepts, method="higher"))


def area_under_curve(same: NDArray[np.float64], different: NDArray[np.float64]) -> float:
    """The chance that a same-person score exceeds a different-person one (Mann-Whitney); ties count half."""
    if not len(same) or not len(different):
        raise ValueError(f"{len(same)} same and {len(different)} different pairs, wanted some of each")
    ordered = np.sort(different)
    below = np.searchsorted(ordered, same, "left") + np.searchsorted(ordered, same, "right")
    return float(below.mean() / (2 * len(different)))


def _unit(x: Features) -> NDArray[np.float64]:
    x = np.asarray(x, np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    sound = np.isfinite(lengths) & (lengths > 0)
    unit: NDArray[np.float64] = np.where(sound, x, np.nan) / np.where(sound, lengths, 1.0)
    return unit
