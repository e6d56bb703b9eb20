"""Set metrics at matched numbers: the sets of all rows contain equally many images of the same people.

FID, KID and IS depend on the number of images and of people, so sets are compared only if both are equal.
Every method is measured by the same cells (identity, prompt, sample), equally many of each person as far as
they exist. The row of real photographs contains as many photographs of the same people. Every row is compared
with the same other real photographs, none of which was shown to a method or is in the row of real ones. That
row therefore has the value that a perfect method would have for these people and this number of images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from bench.runs.records.tables import REAL_SET_SAME, SetRow
from metrics.interface import Features, Score, SetMetric, measure_rest

T = TypeVar("T")
MAX_OPEN: Final = 64
"""Images that are open at the same time."""
MIN_COMPLETE: Final = 0.9
"""Minimum share of its images that a method must have: one that lost many must not lower everybody's N."""
MIN_SHARE: Final = 0.2
"""The row of real photographs may reduce N to this share of the methods' images; below, it is empty."""
Load = Callable[[], Image]
Cell = tuple[str, str, int]
"""Identity, prompt and sample."""


@dataclass(frozen=True)
class SetImage:
    """One image, opened only when it is measured: those of all methods may not fit into memory."""

    cell: Cell
    load: Load


@dataclass(frozen=True)
class SetSubject:
    """The images of one method."""

    label: str
    planned: int
    """Number of images that the plan contains."""
    images: tuple[SetImage, ...]

    @property
    def complete(self) -> bool:
        """Whether nearly all planned images exist."""
        return len(self.images) >= MIN_COMPLETE * self.planned > 0


@dataclass(frozen=True)
class RealPhotos:
    """The real photographs of a run."""

    references: Mapping[str, Sequence[Load]]
    """By person. They may be in the row of real photographs, but no row is compared with them."""
    held_out: Mapping[str, Sequence[Load]]
    """By person."""
    others: Sequence[Load] = ()
    """Photographs of people who are not in the run."""


@dataclass(frozen=True)
class MatchedSets:
    """The cells of every method, the photographs of the row of real ones, and those to compare with."""

    cells: Sequence[Cell]
    row: Sequence[tuple[str, Load]]
    """Person and photograph; empty if there are too few."""
    against: Sequence[Load]
    reason: str = field(default="", compare=False)
    """Why `row` is empty."""


def set_rows(
    metric: SetMetric, subjects: Sequence[SetSubject], real: RealPhotos, *, fingerprint: str, seed: int
) -> Iterator[SetRow]:
    """The whole sets' values, and those with one identity left out at a time.

    If the metric gives no score for one of the sets with an identity left out, none of these sets has one:
    an interval of the others would be too narrow.
    """
    matched = match_sets([subject for subject in subjects if subject.complete], real, seed)
    against = _features(metric, matched.against)

    def row(label: str, left_out: str, n: int, score: Score) -> SetRow:
        value = None if score.value is None else float(score.value)
        place = (label, metric.name, metric.encoder, left_out, n, len(against))
        return SetRow(*place, value, score.reason, fingerprint)

    def rows(label: str, images: Sequence[tuple[str, Load]]) -> Iterator[SetRow]:
        features = _features(metric, [load for _, load in images])
        whole = metric.measure(features, against)
        yield row(label, "", len(images), whole)
        if whole.value is not None:
            people = np.array([person for person, _ in images])
            yield from (row(label, *rest) for rest in _leave_one_out(metric, features, people, against))

    for subject in subjects:
        if not subject.complete:
            reason = f"{len(subject.images)} of {subject.planned} images; sets are compared at equal numbers"
            yield row(subject.label, "", len(subject.images), Score(None, reason))
            continue
        loads = {image.cell: image.load for image in subject.images}
        yield from rows(subject.label, [(cell[0], loads[cell]) for cell in matched.cells])
    if matched.reason:
        yield row(REAL_SET_SAME, "", 0, Score(None, matched.reason))
    else:
        yield from rows(REAL_SET_SAME, matched.row)


def match_sets(subjects: Sequence[SetSubject], real: RealPhotos, seed: int) -> MatchedSets:
    """Choose the cells that every method is measured by, and the two parts of the real photographs.

    N is the number of cells of which every method has an image, at most half the number of photographs, and
    at most the number of photographs of the run's people. If the last would reduce N below MIN_SHARE of what
    it is otherwise, there is no row of real photographs. References come first in that row, so that more
    held-out photographs remain.
    """
    rng = np.random.default_rng(seed)
    cells = {person: _shuffled(of, rng) for person, of in _common_cells(subjects).items()}
    photos: dict[str, list[tuple[bool, Load]]] = {}
    for person in sorted(real.held_out):
        shown = [(False, load) for load in real.references.get(person, ())]
        photos[person] = [
            *_shuffled(shown, rng),
            *_shuffled([(True, load) for load in real.held_out[person]], rng),
        ]
    most = (sum(map(len, photos.values())) + len(real.others)) // 2
    room = {person: min(len(of), len(photos.get(person, ()))) for person, of in cells.items()}
    possible = min(sum(map(len, cells.values())), most)
    n = min(sum(room.values()), most)
    reason = ""
    if n < MIN_SHARE * possible:
        reason = f"{n} photographs of the run's people for {possible} images of each method"
        n, room = possible, {person: len(of) for person, of in cells.items()}
    quotas = _equal_shares(room, n)
    chosen = sorted(cell for person, quota in quotas.items() for cell in cells[person][:quota])
    row, rest = [], []
    for person, of in photos.items():
        quota = 0 if reason else quotas.get(person, 0)
        row += [(person, load) for _, load in of[:quota]]
        rest += [load for held_out, load in of[quota:] if held_out]
    return MatchedSets(chosen, row, [*rest, *real.others], reason)


def _leave_one_out(
    metric: SetMetric, features: Features, people: NDArray[np.str_], against: Features
) -> Iterator[tuple[str, int, Score]]:
    """Each person, the number of images without that person, and their score."""
    scores = {
        str(person): measure_rest(metric, features, against, people != person) for person in np.unique(people)
    }
    refused = next((person for person, score in scores.items() if score.value is None), "")
    for person, score in scores.items():
        n = int((people != person).sum())
        if refused:
            score = Score(None, f"no interval: without {refused}, {scores[refused].reason}")
        yield person, n, score


def _common_cells(subjects: Sequence[SetSubject]) -> dict[str, list[Cell]]:
    """The cells of which every method has an image, by person, sorted."""
    cells = [{image.cell for image in subject.images} for subject in subjects]
    found: dict[str, list[Cell]] = {}
    for cell in sorted(set.intersection(*cells)) if cells else ():
        found.setdefault(cell[0], []).append(cell)
    return found


def _equal_shares(room: Mapping[str, int], n: int) -> dict[str, int]:
    """Divide n images among people, as equally as the room of each permits."""
    shares = dict.fromkeys(room, 0)
    while sum(shares.values()) < n:
        open_ones = [person for person in room if shares[person] < room[person]]
        least = min(shares[person] for person in open_ones)
        for person in [person for person in open_ones if shares[person] == least][: n - sum(shares.values())]:
            shares[person] += 1
    return shares


def _shuffled(items: Sequence[T], rng: np.random.Generator) -> list[T]:
    return [items[i] for i in rng.permutation(len(items))]


def _features(metric: SetMetric, loads: Sequence[Load]) -> Features:
    pieces = [loads[start : start + MAX_OPEN] for start in range(0, len(loads), MAX_OPEN)] or [loads]
    return np.concatenate([metric.features([load() for load in piece]) for piece in pieces])
