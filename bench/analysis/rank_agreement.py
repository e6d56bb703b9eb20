"""Agreement of face networks on the ranking of methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.analysis.columns import ImageColumn
from bench.analysis.statistics import Floats
from bench.runs.finished_run import Column
from metrics.catalog import ENCODERS


@dataclass(frozen=True)
class MetricPairAgreement:
    """Two identity columns and the agreement of their rankings."""

    one: Column
    other: Column
    methods: tuple[str, ...]
    """Methods that both columns rank."""
    tau: float | None
    """Kendall's tau-b of the methods' means, -1..1; near ties lower it."""
    separable: int
    """Number of pairs of methods that are separable in both columns."""
    agreeing: int
    """How many of these have the same direction in both."""


def face_metric_pairs(columns: Sequence[ImageColumn]) -> list[MetricPairAgreement]:
    """Every two identity columns of face networks; without baselines and methods with overlap."""
    faces = [c for c in columns if c.column.name == "identity" and _is_face_network(c.column.encoder)]
    return [_pair_agreement(one, other) for one, other in combinations(faces, 2)]


def _pair_agreement(one: ImageColumn, other: ImageColumn) -> MetricPairAgreement:
    both = set(one.ranking) & set(other.ranking)
    methods = tuple(label for label in one.run.methods if label in both)
    higher = [_higher_of_separable_pairs(column, both) for column in (one, other)]
    shared = higher[0].keys() & higher[1].keys()
    agreeing = sum(higher[0][pair] == higher[1][pair] for pair in shared)
    return MetricPairAgreement(
        one.column, other.column, methods, _tau(one, other, methods), len(shared), agreeing
    )


def _tau(one: ImageColumn, other: ImageColumn, methods: Sequence[str]) -> float | None:
    ranks = [np.array([c.ranking.index(m) for m in methods], np.float64) for c in (one, other)]
    tau = kendall_tau(*ranks) if len(methods) > 1 else float("nan")
    return None if np.isnan(tau) else tau


def _higher_of_separable_pairs(column: ImageColumn, methods: set[str]) -> dict[frozenset[str], str]:
    """For each separable pair, the method with the higher mean."""
    return {
        frozenset((c.one, c.other)): c.one if c.verdict == "above" else c.other
        for c in column.contrasts
        if c.separable and {c.one, c.other} <= methods
    }


def _is_face_network(encoder: str) -> bool:
    """Custom encoders of an identity metric count as face networks."""
    return encoder not in ENCODERS or "face" in ENCODERS[encoder].serves


def kendall_tau(x: Floats, y: Floats) -> float:
    """Kendall's tau-b (1945) of two vectors of means; NaN where one of them ties all methods."""
    above = np.triu_indices(len(x), 1)
    signs = [np.sign(z[above[0]] - z[above[1]]) for z in (x, y)]
    pairs = float(np.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))
    return float((signs[0] * signs[1]).sum() / pairs) if pairs else float("nan")
