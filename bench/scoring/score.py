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
from bench.runs.task import GroupTask
from bench.scoring.samples import (
    EvaluationSample,
    backbone_images,
    calibration,
    drawn,
    load_identity_images,
    load_picture,
    prior_samples,
    real_other,
    real_same,
)
from bench.scoring.set_scores import SetPicture, SetSubject, set_rows
from bench.suite.prompts import PRIOR
from metrics.catalog import of_people, of_priors
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
        return [metric for metric in self.of_pictures if not of_priors(metric)]

    @property
    def of_priors(self) -> list[SampleMetric]:
        """Those of pictures of somebody else, drawn after fitting."""
        return [metric for metric in self.of_pictures if of_priors(metric)]

    @property
    def all(self) -> list[Metric]:
        """Both kinds."""
        return [*self.of_pictures, *self.of_sets]


@dataclass(frozen=True)
class ScoringInputs:
    """All that is to be measured."""

    tasks: Sequence[GroupTask]
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
                "pictures": [(cell.cell, cell.picture, cell.reason) for cell in self.cells],
                "photos": [digest(photo.content()) for photo in (*photos, *self.people.others)],
                "captions": [photo.caption for photo in photos],
                "metrics": [(header(metric), dict(metric.fingerprint)) for metric in self.metrics.all],
                "seed": self.seed,
            }
        )


@dataclass(frozen=True)
class ScoringContext:
    """Who judges a row of pictures."""

    metrics: Metrics
    real: Sequence[RealPhoto]
    """Everybody's held-out photographs."""
    notify: Notify


def score(inputs: ScoringInputs, folder: RunFolder, notify: Notify, *, overwrite: bool) -> None:
    """Write scores.csv, sets.csv and metrics.json, unless they are there for these pictures and metrics."""
    standing = inputs.digest
    measured = read_json(folder.path / METRICS).get("of")
    if (
        not overwrite
        and measured == standing
        and all((folder.path / name).exists() for name in (SCORES, SETS))
    ):
        return
    (folder.path / METRICS).unlink(missing_ok=True)
    write_rows(folder.path / SCORES, list(_score_pictures(inputs, folder, notify)), ScoreRow)
    write_rows(folder.path / SETS, list(_score_sets(inputs, folder, notify)), SetRow)
    metrics = {header(metric): _about(metric, "pictures") for metric in inputs.metrics.of_subjects}
    metrics |= {header(metric): _about(metric, "priors") for metric in inputs.metrics.of_priors}
    metrics |= {header(metric): _about(metric, "sets") for metric in inputs.metrics.of_sets}
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


def _score_pictures(inputs: ScoringInputs, folder: RunFolder, notify: Notify) -> Iterator[ScoreRow]:
    identity_images = load_identity_images(inputs.people.chosen)
    context = ScoringContext(inputs.metrics, calibration(identity_images), notify)
    own = backbone_images(_works(FLOOR, inputs), folder)
    for label in _labels(inputs):
        tasks = _works(label, inputs)
        yield from _score_row(
            label, list(drawn(tasks, identity_images, folder)), context.metrics.of_subjects, context
        )
        if label != FLOOR:
            yield from _score_priors(
                label, list(prior_samples(tasks, identity_images, folder, own)), inputs, context
            )
        yield from _unscored(label, inputs)
    for label, real in ((REAL_SAME, real_same(identity_images)), (REAL_OTHER, real_other(identity_images))):
        yield from _score_row(label, list(real), context.metrics.of_subjects, context)


def _labels(inputs: ScoringInputs) -> list[str]:
    return list(dict.fromkeys(task.group.method for task in inputs.tasks))


def _works(label: str, inputs: ScoringInputs) -> list[GroupTask]:
    return [task for task in inputs.tasks if task.group.method == label]


def _score_priors(
    label: str, judged: Sequence[EvaluationSample], inputs: ScoringInputs, context: ScoringContext
) -> Iterator[ScoreRow]:
    """Pictures of somebody else, where the backbone's own stand beside them; the others keep the reason."""
    metrics = context.metrics.of_priors
    yield from _score_row(label, [one for one in judged if one.sample.own is not None], metrics, context)
    missing = f"the picture of {FLOOR} is missing"
    reason = missing if FLOOR in _labels(inputs) else f"{FLOOR} is not among the run's methods; run it too"
    for one in judged:
        if one.sample.own is None:
            yield from (_row(label, one, metric, Score(None, reason)) for metric in metrics)


def _score_row(
    label: str, judged: Sequence[EvaluationSample], metrics: Sequence[SampleMetric], context: ScoringContext
) -> Iterator[ScoreRow]:
    """Every picture of one row of the table by every metric."""
    for metric in metrics if judged else []:
        fit = [one for one in judged if one.sample.person or not of_people(metric)]
        context.notify(f"{label}: {header(metric)}")
        scores = metric.score([one.sample for one in fit], context.real) if fit else []
        if len(scores) != len(fit):
            raise ValueError(f"{metric.name}: {len(scores)} scores for {len(fit)} pictures")
        known = {one.sample.id: score for one, score in zip(fit, scores, strict=True)}
        for one in judged:
            yield _row(label, one, metric, known.get(one.sample.id, Score(None, NO_PERSON)))


def _row(label: str, one: EvaluationSample, metric: SampleMetric, score: Score) -> ScoreRow:
    sample = one.sample
    value = None if score.value is None else float(score.value)
    place = (label, sample.identity, sample.prompt_id, one.category, one.sample_number)
    return ScoreRow(*place, metric.name, metric.encoder, value, score.reason, fingerprint_of(metric))


def _unscored(label: str, inputs: ScoringInputs) -> Iterator[ScoreRow]:
    """A cell without a picture still has its lines: a missing score never vanishes."""
    of_priors = inputs.metrics.of_priors if label != FLOOR else []
    for cell in inputs.cells:
        if cell.method != label or cell.status == "generated":
            continue
        place = (cell.method, cell.identity, cell.prompt, cell.category, cell.sample)
        for metric in of_priors if cell.category == PRIOR else inputs.metrics.of_subjects:
            reason = f"{cell.status}: {cell.reason}"
            yield ScoreRow(*place, metric.name, metric.encoder, None, reason, fingerprint_of(metric))


def _score_sets(inputs: ScoringInputs, folder: RunFolder, notify: Notify) -> Iterator[SetRow]:
    if not inputs.metrics.of_sets:
        return
    subjects = [_set_subject(label, inputs, folder) for label in _labels(inputs)]
    held_out = [photo for who in inputs.people.chosen for photo in who.held_out]
    real = [photo.load for photo in (*held_out, *inputs.people.others)]
    for metric in inputs.metrics.of_sets:
        notify(header(metric))
        yield from set_rows(metric, subjects, real, fingerprint=fingerprint_of(metric), seed=inputs.seed)


def _set_subject(label: str, inputs: ScoringInputs, folder: RunFolder) -> SetSubject:
    planned = [
        (task, cell)
        for task in _works(label, inputs)
        for cell in task.group.cells
        if cell.prompt.category != PRIOR
    ]
    pictures = tuple(
        SetPicture(cell.id, cell.identity, partial(load_picture, folder.image(cell)))
        for task, cell in planned
        if folder.has(cell, task.fingerprint_parts.fingerprint(cell))
    )
    return SetSubject(label, len(planned), pictures)
