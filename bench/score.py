"""Measure what is stored: every picture by every metric, and the real photographs by the same metrics."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bench.datasets.catalog import People
from bench.generate import Work
from bench.judged import Judged, calibration, drawn, load_picture, open_albums, real_other, real_same
from bench.ledger import CellRow, write_rows
from bench.provenance import digest, digest_of
from bench.sets import SetPicture, SetRow, SetSubject, set_rows
from bench.store import RunFolder, read_json, write_json
from metrics.interface import RealPhoto, SampleMetric, Score, SetMetric

REAL_SAME: Final = "real (same person)"
REAL_OTHER: Final = "real (other person)"
NO_PICTURE: Final = ("failed: ", "missing: ")
"""How the reason of a score begins that is missing because its picture is."""
SCORES: Final = "scores.csv"
SETS: Final = "sets.csv"
METRICS: Final = "metrics.json"
Metric = SampleMetric | SetMetric
Notify = Callable[[str], None]
"""Called with what is being measured."""


@dataclass(frozen=True)
class ScoreRow:
    """One line of scores.csv: a picture and a metric. An empty value has its reason in `why`."""

    method: str
    identity: str
    prompt: str
    category: str
    sample: str
    metric: str
    encoder: str
    value: str
    why: str
    fingerprint: str
    """Digest of what the metric depends on; metrics.json spells it out."""


@dataclass(frozen=True)
class Metrics:
    """The metrics of a suite."""

    of_pictures: Sequence[SampleMetric]
    """With a score for each picture."""
    of_sets: Sequence[SetMetric]
    """With a score for a whole set."""

    @property
    def all(self) -> list[Metric]:
        """Both kinds."""
        return [*self.of_pictures, *self.of_sets]


@dataclass(frozen=True)
class Exam:
    """All that is to be measured."""

    works: Sequence[Work]
    cells: Sequence[CellRow]
    people: People
    metrics: Metrics
    seed: int

    @property
    def digest(self) -> str:
        """What the scores depend on: pictures, real photographs, metrics."""
        photos = [photo for who in self.people.chosen for photo in (*who.references, *who.held_out)]
        return digest_of(
            {
                "pictures": [(cell.cell, cell.picture, cell.why) for cell in self.cells],
                "photos": [digest(photo.path.read_bytes()) for photo in (*photos, *self.people.others)],
                "captions": [photo.caption for photo in photos],
                "metrics": [(header(metric), dict(metric.fingerprint)) for metric in self.metrics.all],
                "seed": self.seed,
            }
        )


def score(exam: Exam, folder: RunFolder, notify: Notify, *, again: bool) -> None:
    """Write scores.csv, sets.csv and metrics.json, unless they are there for these pictures and metrics."""
    standing = exam.digest
    measured = read_json(folder.path / METRICS).get("of")
    if not again and measured == standing and all((folder.path / name).exists() for name in (SCORES, SETS)):
        return
    (folder.path / METRICS).unlink(missing_ok=True)
    write_rows(folder.path / SCORES, list(_score_pictures(exam, folder, notify)), ScoreRow)
    write_rows(folder.path / SETS, list(_score_sets(exam, folder, notify)), SetRow)
    metrics = {header(metric): _about(metric, "pictures") for metric in exam.metrics.of_pictures}
    metrics |= {header(metric): _about(metric, "sets") for metric in exam.metrics.of_sets}
    write_json(folder.path / METRICS, {"of": standing, "metrics": metrics})


def header(metric: Metric) -> str:
    """A column's name: the metric, and the network behind it."""
    return f"{metric.name} ({metric.encoder})" if metric.encoder else metric.name


def fingerprint_of(metric: Metric) -> str:
    """The digest of what a metric depends on."""
    return digest_of(metric.fingerprint)


def _about(metric: Metric, of: str) -> dict[str, Any]:
    return {
        "name": metric.name,
        "encoder": metric.encoder,
        "better": metric.better,
        "of": of,
        "fingerprint": dict(metric.fingerprint),
    }


def _score_pictures(exam: Exam, folder: RunFolder, notify: Notify) -> Iterator[ScoreRow]:
    albums = open_albums(exam.people.chosen)
    real = calibration(albums)
    for label in _labels(exam):
        works = [work for work in exam.works if work.group.method == label]
        yield from _score_row(label, list(drawn(works, albums, folder)), exam, real, notify)
        for cell in exam.cells:
            if cell.method == label and cell.status != "drawn":
                yield from _unscored(cell, exam.metrics.of_pictures)
    yield from _score_row(REAL_SAME, list(real_same(albums)), exam, real, notify)
    yield from _score_row(REAL_OTHER, list(real_other(albums)), exam, real, notify)


def _labels(exam: Exam) -> list[str]:
    return list(dict.fromkeys(work.group.method for work in exam.works))


def _score_row(
    label: str, judged: Sequence[Judged], exam: Exam, real: Sequence[RealPhoto], notify: Notify
) -> Iterator[ScoreRow]:
    """Every picture of one row of the table by every metric."""
    samples = [one.sample for one in judged]
    for metric in exam.metrics.of_pictures if samples else []:
        notify(f"{label}: {header(metric)}")
        scores = metric.score(samples, real)
        if len(scores) != len(samples):
            raise ValueError(f"{metric.name}: {len(scores)} scores for {len(samples)} pictures")
        yield from (_row(label, one, metric, score) for one, score in zip(judged, scores, strict=True))


def _row(label: str, one: Judged, metric: SampleMetric, score: Score) -> ScoreRow:
    sample = one.sample
    value = "" if score.value is None else repr(float(score.value))
    place = (label, sample.identity, sample.prompt_id, one.category, one.number)
    return ScoreRow(*place, metric.name, metric.encoder, value, score.why, fingerprint_of(metric))


def _unscored(cell: CellRow, metrics: Sequence[SampleMetric]) -> Iterator[ScoreRow]:
    """A cell without a picture still has its lines: a missing score never vanishes."""
    place = (cell.method, cell.identity, cell.prompt, cell.category, cell.sample)
    for metric in metrics:
        why = f"{cell.status}: {cell.why}"
        yield ScoreRow(*place, metric.name, metric.encoder, "", why, fingerprint_of(metric))


def _score_sets(exam: Exam, folder: RunFolder, notify: Notify) -> Iterator[SetRow]:
    if not exam.metrics.of_sets:
        return
    subjects = [_set_subject(label, exam, folder) for label in _labels(exam)]
    held_out = [photo for who in exam.people.chosen for photo in who.held_out]
    real = [photo.load() for photo in (*held_out, *exam.people.others)]
    for metric in exam.metrics.of_sets:
        notify(header(metric))
        yield from set_rows(metric, subjects, real, fingerprint=fingerprint_of(metric), seed=exam.seed)


def _set_subject(label: str, exam: Exam, folder: RunFolder) -> SetSubject:
    works = [work for work in exam.works if work.group.method == label]
    pictures = tuple(
        SetPicture(cell.id, cell.identity, partial(load_picture, folder.image(cell)))
        for work in works
        for cell in work.group.cells
        if folder.has(cell, work.recipe.fingerprint(cell))
    )
    return SetSubject(label, sum(len(work.group.cells) for work in works), pictures)
