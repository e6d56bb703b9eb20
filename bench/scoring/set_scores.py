"""Scores of image sets, all of the same size.

FID, KID and IS depend on the number of images N, so values of different N cannot be compared. The real
photographs are split into two disjoint parts: N of them are a row of the table, and every row is compared
with the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL.Image import Image

from bench.runs.tables import REAL_SET, SetRow
from metrics.interface import Features, Score, SetMetric

MAX_OPEN: Final = 64
"""Maximum number of open images."""
Load = Callable[[], Image]


@dataclass(frozen=True)
class SetImage:
    """One image, loaded only while its features are computed: all images may not fit into memory."""

    id: str
    identity: str
    load: Load


@dataclass(frozen=True)
class SetSubject:
    """The images of one row."""

    label: str
    planned: int
    """Number of planned images."""
    images: tuple[SetImage, ...]


@dataclass(frozen=True)
class MatchedSets:
    """The common number of images, and the two parts of the real photographs."""

    n: int
    row: Features
    """N real photographs, scored as a row."""
    against: Features
    """The remaining real photographs, with which all rows are compared."""


def set_rows(
    metric: SetMetric, subjects: Sequence[SetSubject], real: Sequence[Load], *, fingerprint: str, seed: int
) -> Iterator[SetRow]:
    """Values of each whole set, and with one identity left out at a time."""
    included = [subject for subject in subjects if _has_enough_images(subject)]
    matched = _match(_features(metric, real), included, np.random.default_rng(seed))

    def row(label: str, left_out: str, n: int, score: Score) -> SetRow:
        value = None if score.value is None else float(score.value)
        place = (label, metric.name, metric.encoder, left_out, n, len(matched.against))
        return SetRow(*place, value, score.reason, fingerprint)

    for subject in subjects:
        if not _has_enough_images(subject):
            reason = f"{len(subject.images)} of {subject.planned} images; sets are compared at equal numbers"
            yield row(subject.label, "", len(subject.images), Score(None, reason))
            continue
        # The same cells for every method, independent of the order of generation.
        order = sorted(range(len(subject.images)), key=lambda i: subject.images[i].id.partition("/")[2])
        chosen = [
            order[i] for i in sorted(np.random.default_rng((seed, 1)).permutation(len(order))[: matched.n])
        ]
        features = _features(metric, [subject.images[i].load for i in chosen])
        people = np.array([subject.images[i].identity for i in chosen])
        whole = metric.measure(features, matched.against)
        yield row(subject.label, "", len(chosen), whole)
        if whole.value is None:
            continue
        for person in sorted(set(people.tolist())):
            rest = features[people != person]
            yield row(subject.label, person, len(rest), metric.measure(rest, matched.against))
    yield row(REAL_SET, "", len(matched.row), metric.measure(matched.row, matched.against))


def _features(metric: SetMetric, loads: Sequence[Load]) -> Features:
    batches = [loads[start : start + MAX_OPEN] for start in range(0, len(loads), MAX_OPEN)] or [loads]
    return np.concatenate([metric.features([load() for load in batch]) for batch in batches])


def _has_enough_images(subject: SetSubject) -> bool:
    """Whether at least 90 % of the images exist; a row with fewer must not lower the N of all others."""
    return len(subject.images) >= 0.9 * subject.planned > 0


def _match(real: Features, subjects: Sequence[SetSubject], rng: np.random.Generator) -> MatchedSets:
    shuffled = real[rng.permutation(len(real))]
    n = min([len(real) // 2, *(len(subject.images) for subject in subjects)])
    return MatchedSets(n, shuffled[:n], shuffled[n:])
