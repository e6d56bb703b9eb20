"""Set metrics at matched numbers: every row, real photographs too, is measured by equally many pictures.

FID, KID and IS move with the number of pictures, so numbers of different N must not stand side by side. The
real photographs are cut in two disjoint parts: N of them are a row of their own, every row is held against
the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL.Image import Image

from bench.runs.tables import REAL_SET, SetRow
from metrics.interface import Features, Score, SetMetric

AT_ONCE: Final = 64
"""Pictures that are open at the same time."""
Load = Callable[[], Image]


@dataclass(frozen=True)
class SetPicture:
    """One picture, opened only when it is measured: all methods' together may not fit the memory."""

    id: str
    identity: str
    load: Load


@dataclass(frozen=True)
class SetSubject:
    """The pictures of one method."""

    label: str
    planned: int
    """So many there should be."""
    pictures: tuple[SetPicture, ...]


@dataclass(frozen=True)
class MatchedSets:
    """How many pictures each row is measured by, and the two parts of the real photographs."""

    n: int
    row: Features
    against: Features


def set_rows(
    metric: SetMetric, subjects: Sequence[SetSubject], real: Sequence[Load], *, fingerprint: str, seed: int
) -> Iterator[SetRow]:
    """The whole sets' values, and those with one identity left out at a time."""
    whole_ones = [subject for subject in subjects if _enough(subject)]
    matched = _match(_features(metric, real), whole_ones, np.random.default_rng(seed))

    def row(label: str, left_out: str, n: int, score: Score) -> SetRow:
        value = None if score.value is None else float(score.value)
        place = (label, metric.name, metric.encoder, left_out, n, len(matched.against))
        return SetRow(*place, value, score.reason, fingerprint)

    for subject in subjects:
        if not _enough(subject):
            reason = (
                f"{len(subject.pictures)} of {subject.planned} pictures; sets are compared at equal numbers"
            )
            yield row(subject.label, "", len(subject.pictures), Score(None, reason))
            continue
        # The same cells of every method, whatever order they were drawn in.
        order = sorted(range(len(subject.pictures)), key=lambda i: subject.pictures[i].id.partition("/")[2])
        chosen = [
            order[i] for i in sorted(np.random.default_rng((seed, 1)).permutation(len(order))[: matched.n])
        ]
        features = _features(metric, [subject.pictures[i].load for i in chosen])
        people = np.array([subject.pictures[i].identity for i in chosen])
        whole = metric.measure(features, matched.against)
        yield row(subject.label, "", len(chosen), whole)
        if whole.value is None:
            continue
        for person in sorted(set(people.tolist())):
            rest = features[people != person]
            yield row(subject.label, person, len(rest), metric.measure(rest, matched.against))
    yield row(REAL_SET, "", len(matched.row), metric.measure(matched.row, matched.against))


def _features(metric: SetMetric, loads: Sequence[Load]) -> Features:
    pieces = [loads[start : start + AT_ONCE] for start in range(0, len(loads), AT_ONCE)] or [loads]
    return np.concatenate([metric.features([load() for load in piece]) for piece in pieces])


def _enough(subject: SetSubject) -> bool:
    """A method that lost many pictures must not lower everybody's N."""
    return len(subject.pictures) >= 0.9 * subject.planned > 0


def _match(real: Features, subjects: Sequence[SetSubject], rng: np.random.Generator) -> MatchedSets:
    mixed = real[rng.permutation(len(real))]
    n = min([len(real) // 2, *(len(subject.pictures) for subject in subjects)])
    return MatchedSets(n, mixed[:n], mixed[n:])
