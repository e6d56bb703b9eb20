"""Copy-Paste by angles (Xu et al. 2025), independent of the number of reference photographs."""

from __future__ import annotations

from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features
from metrics.statistics.verification import cosine

SMALLEST: Final = 1e-6
"""Angle in radians under which two photographs count as the same."""


def angles(x: Features, y: Features) -> NDArray[np.float64]:
    """Angles between rows of N x D and M x D vectors, N x M, in 0..pi."""
    return np.asarray(np.arccos(np.clip(cosine(x, y), -1.0, 1.0)))


def copy_paste(image: Features, references: Features, held_out: Features) -> float:
    """Copy-Paste of one vector of length D, given K x D and N x D finite vectors of photographs, -1..1.

    WithAnyone (Xu et al. 2025, arXiv 2510.14975) defines, for one reference r and one other photograph t of
    the person, CP = (a(image, t) - a(image, r)) / a(r, t) with a the angle between face vectors. 1 is an
    exact copy of r, -1 one of t, and 0 is equally far from both. For K references, r is the nearest one. The
    nearest of N held-out photographs would be nearer by chance if N > K. Therefore t is the nearest of K
    held-out photographs, and CP is the mean over all choices of K of the N (of all N if there are fewer than
    K; the value is then above 0 by chance). An exact copy of a reference has 1 for every K. An image to which
    all photographs are alike has 0 on average, because the definition changes its sign when references and
    held-out photographs change places. K = N = 1 is the published formula, which is 0 where r and t coincide.
    """
    to_references = angles(image[None], references)[0]
    nearest = int(to_references.argmin())
    to_held_out = angles(image[None], held_out)[0]
    order = np.argsort(to_held_out, kind="stable")
    to_held_out, between = to_held_out[order], angles(references[[nearest]], held_out[order])[0]
    chosen = min(len(references), len(held_out))
    # Probability that the photograph of rank i is the nearest of a random choice.
    weights = [comb(len(order) - 1 - i, chosen - 1) / comb(len(order), chosen) for i in range(len(order))]
    difference = to_held_out - to_references[nearest]
    distinct = between > SMALLEST
    ratios = np.where(distinct, difference, 0.0) / np.where(distinct, between, 1.0)
    return float(np.clip(np.dot(weights, ratios), -1.0, 1.0))
