"""Measure what is stored: every picture by every metric, and the real photographs by the same metrics."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bench.datasets.registry import People
from bench.runs.atomic_io import read_json, write_json
from bench.runs.fingerprint import digest, digest_of
from bench.runs.run_folder import RunFolder
from bench.runs.tables import (
    FLOOR,
    METRICS,
    REAL_OTHER,
    REAL_SAME,
    SCORES,
    SETS,
    CellRow,
    ScoreRow,
    SetRow,
    write_rows,
)
from bench.runs.work import Work
from bench.scoring.samples import (
    Judged,
    calibration,
    drawn,
    drawn_priors,
    load_picture,
    open_albums,
    own_pictures,
    real_other,
    real_same,
)
from bench.scoring.set_scores import SetPicture, SetSubject, set_rows
from bench.suite.prompts import PRIOR
from metrics.catalog import of_people
from metrics.interface import RealPhoto, SampleMetric, Score, SetMetric

NO_PERSON: Final = "not a person"
Metric = SampleMetric | SetMetric
Notify = Callable[[str], None]
"""Called with what is being measured."""


@dataclass(frozen=True)
class Metrics:
    """The metrics of a suite."""

    of_pictures: Sequence[SampleMetric]
    """With a score for each picture."""
    of_sets: Sequence[SetMetric]
    """With a score for a whole set."""

    @property
    def of_subjects(self) -> list[SampleMetric]:
        """Those of pictures of the subject."""
        return [metric for metric in self.of_pictures if not getattr(metric, "of_priors", False)]

    @property
    def of_priors(self) -> list[SampleMetric]:
        """Those of pictures of somebody else, drawn after fitting."""
        return [metric for metric in self.of_pictures if getattr(metric, "of_priors", False)]

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
                "photos": [digest(photo.content()) for photo in (*photos, *self.people.others)],
                "captions": [photo.caption for photo in photos],
                "metrics": [(header(metric), dict(metric.fingerprint)) for metric in self.metrics.all],
                "seed": self.seed,
            }
        )


@dataclass(frozen=True)
class Court:
    """Who judges a row of pictures."""

    metrics: Metrics
    real: Sequence[RealPhoto]
    """Everybody's held-out photographs."""
    notify: Notify


def score(exam: Exam, folder: RunFolder, notify: Notify, *, again: bool) -> None:
    """Write scores.csv, sets.csv and metrics.json, unless they are there for these pictures and metrics."""
    standing = exam.digest
    measured = read_json(folder.path / METRICS).get("of")
    if not again and measured == standing and all((folder.path / name).exists() for name in (SCORES, SETS)):
        return
    (folder.path / METRICS).unlink(missing_ok=True)
    write_rows(folder.path / SCORES, list(_score_pictures(exam, folder, notify)), ScoreRow)
    write_rows(folder.path / SETS, list(_score_sets(exam, folder, notify)), SetRow)
    metrics = {header(metric): _about(metric, "pictures") for metric in exam.metrics.of_subjects}
    metrics |= {header(metric): _about(metric, "priors") for metric in exam.metrics.of_priors}
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
    court = Court(exam.metrics, calibration(albums), notify)
    own = own_pictures(_works(FLOOR, exam), folder)
    for label in _labels(exam):
        works = _works(label, exam)
        yield from _score_row(label, list(drawn(works, albums, folder)), court.metrics.of_subjects, court)
        if label != FLOOR:
            yield from _score_priors(label, list(drawn_priors(works, albums, folder, own)), exam, court)
        yield from _unscored(label, exam)
    for label, real in ((REAL_SAME, real_same(albums)), (REAL_OTHER, real_other(albums))):
        yield from _score_row(label, list(real), court.metrics.of_subjects, court)


def _labels(exam: Exam) -> list[str]:
    return list(dict.fromkeys(work.group.method for work in exam.works))


def _works(label: str, exam: Exam) -> list[Work]:
    return [work for work in exam.works if work.group.method == label]


def _score_priors(label: str, judged: Sequence[Judged], exam: Exam, court: Court) -> Iterator[ScoreRow]:
    """Pictures of somebody else, where the backbone's own stand beside them; the others keep the reason."""
    metrics = court.metrics.of_priors
    yield from _score_row(label, [one for one in judged if one.sample.own is not None], metrics, court)
    missing = f"the picture of {FLOOR} is missing"
    why = missing if FLOOR in _labels(exam) else f"{FLOOR} is not among the run's methods; run it too"
    for one in judged:
        if one.sample.own is None:
            yield from (_row(label, one, metric, Score(None, why)) for metric in metrics)


def _score_row(
    label: str, judged: Sequence[Judged], metrics: Sequence[SampleMetric], court: Court
) -> Iterator[ScoreRow]:
    """Every picture of one row of the table by every metric."""
    for metric in metrics if judged else []:
        fit = [one for one in judged if one.sample.person or not of_people(metric)]
        court.notify(f"{label}: {header(metric)}")
        scores = metric.score([one.sample for one in fit], court.real) if fit else []
        if len(scores) != len(fit):
            raise ValueError(f"{metric.name}: {len(scores)} scores for {len(fit)} pictures")
        known = {one.sample.id: score for one, score in zip(fit, scores, strict=True)}
        for one in judged:
            yield _row(label, one, metric, known.get(one.sample.id, Score(None, NO_PERSON)))


def _row(label: str, one: Judged, metric: SampleMetric, score: Score) -> ScoreRow:
    sample = one.sample
    value = "" if score.value is None else repr(float(score.value))
    place = (label, sample.identity, sample.prompt_id, one.category, one.number)
    return ScoreRow(*place, metric.name, metric.encoder, value, score.why, fingerprint_of(metric))


def _unscored(label: str, exam: Exam) -> Iterator[ScoreRow]:
    """A cell without a picture still has its lines: a missing score never vanishes."""
    of_priors = exam.metrics.of_priors if label != FLOOR else []
    for cell in exam.cells:
        if cell.method != label or cell.status == "drawn":
            continue
        place = (cell.method, cell.identity, cell.prompt, cell.category, cell.sample)
        for metric in of_priors if cell.category == PRIOR else exam.metrics.of_subjects:
            why = f"{cell.status}: {cell.why}"
            yield ScoreRow(*place, metric.name, metric.encoder, "", why, fingerprint_of(metric))


def _score_sets(exam: Exam, folder: RunFolder, notify: Notify) -> Iterator[SetRow]:
    if not exam.metrics.of_sets:
        return
    subjects = [_set_subject(label, exam, folder) for label in _labels(exam)]
    held_out = [photo for who in exam.people.chosen for photo in who.held_out]
    real = [photo.load for photo in (*held_out, *exam.people.others)]
    for metric in exam.metrics.of_sets:
        notify(header(metric))
        yield from set_rows(metric, subjects, real, fingerprint=fingerprint_of(metric), seed=exam.seed)


def _set_subject(label: str, exam: Exam, folder: RunFolder) -> SetSubject:
    planned = [
        (work, cell)
        for work in _works(label, exam)
        for cell in work.group.cells
        if cell.prompt.category != PRIOR
    ]
    pictures = tuple(
        SetPicture(cell.id, cell.identity, partial(load_picture, folder.image(cell)))
        for work, cell in planned
        if folder.has(cell, work.recipe.fingerprint(cell))
    )
    return SetSubject(label, len(planned), pictures)
