"""Agreement of face networks on the ranking of methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.analysis.comparisons import ImageColumn
from bench.analysis.statistics import Agreement, rank_agreement
from bench.runs.finished_run import Column
from metrics.catalog import ENCODERS


@dataclass(frozen=True)
class MetricPairAgreement:
    """Two identity columns and the agreement of their rankings."""

    one: Column
    other: Column
    methods: tuple[str, ...]
    """Methods that both columns rank."""
    agreement: Agreement


def face_metric_pairs(columns: Sequence[ImageColumn]) -> list[MetricPairAgreement]:
    """Every two identity columns of face networks; without baselines and methods with overlap."""
    faces = [c for c in columns if c.column.name == "identity" and _is_face_network(c.column.encoder)]
    return [_pair_agreement(one, other) for one, other in combinations(faces, 2)]


def _pair_agreement(one: ImageColumn, other: ImageColumn) -> MetricPairAgreement:
    both = set(one.ranking) & set(other.ranking)
    methods = tuple(label for label in one.run.methods if label in both)
    sides = [[column.scores_by_person(label) for label in methods] for column in (one, other)]
    agreement = rank_agreement(sides[0], sides[1], seed=one.run.seed)
    return MetricPairAgreement(one.column, other.column, methods, agreement)


def _is_face_network(encoder: str) -> bool:
    """Custom encoders of an identity metric count as face networks."""
    return encoder not in ENCODERS or "face" in ENCODERS[encoder].serves
