"""Score the stored images of a run folder by every metric, and real photographs by the same metrics."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.atomic_io import read_json, write_json
from bench.runs.records.table_digests import OF_METRICS, are_unchanged, table_digests
from bench.runs.records.tables import (
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
from bench.runs.run_folder import RunFolder
from bench.scoring.checked_metrics import CheckedSetMetric, checked_scores
from bench.scoring.feature_cache import kept_features
from bench.scoring.inputs import ScoringInputs
from bench.scoring.samples import (
    EvaluationSample,
    IdentityImages,
    StoredImages,
    calibration_photos,
    in_parts,
    load_identity_images,
    load_image,
    place_of,
    real_other,
    real_same,
)
from bench.scoring.score_digest import score_digest
from bench.scoring.set_scores import RealPhotos, SetImage, SetSubject, set_rows
from bench.scoring.suite_metrics import Metrics, title
from bench.suite.prompts import PRIOR
from metrics.catalog import of_people
from metrics.interface import RealPhoto, SampleMetric, Score, calibration, needs_backbone

NO_PERSON: Final = "not a person"
ADDED: Final = "added"
"""Key of metrics.json."""
Notify = Callable[[str], None]
"""Called with the row and metric that are scored next."""


@dataclass(frozen=True)
class ScoringContext:
    """Metrics and calibration photographs, the same for every row."""

    metrics: Metrics
    real: Sequence[RealPhoto]
    """Held-out photographs of every identity."""
    notify: Notify


def score(
    inputs: ScoringInputs,
    notify: Notify,
    *,
    overwrite: bool,
    cache: Path | None = None,
    warn: Notify,
    prepare: Callable[[], None] | None = None,
) -> None:
    """Write scores.csv, sets.csv and metrics.json, unless they exist with the present digest.

    `cache` is the folder in which the encoders keep the features of images; `warn` receives its problems.
    `prepare` is called before the first image is scored.
    """
    folder, current = inputs.folder.path, score_digest(inputs)
    record = read_json(folder / METRICS)
    unchanged = record.get("of") == current and are_unchanged(folder, record.get("tables"))
    if overwrite or not unchanged:
        if prepare is not None:
            prepare()
        with kept_features(inputs.metrics, cache, warn):
            _score(inputs, notify, current)


def _score(inputs: ScoringInputs, notify: Notify, current: str) -> None:
    folder = inputs.folder.path
    (folder / METRICS).unlink(missing_ok=True)
    identities = load_identity_images(inputs.people.chosen, inputs.suite)
    context = ScoringContext(inputs.metrics, calibration_photos(identities), _announced_once(notify))
    write_rows(folder / SCORES, list(_score_images(inputs, identities, context)), ScoreRow)
    write_rows(folder / SETS, list(_score_sets(inputs, notify)), SetRow)
    calibrations = {
        title(m): found for m in inputs.metrics.of_images if (found := calibration(m, context.real))
    }
    columns = {"metrics": inputs.metrics.columns, "calibration": calibrations}
    tables = table_digests(folder, OF_METRICS)
    write_json(folder / METRICS, {"of": current, ADDED: list(inputs.added), **columns, "tables": tables})


def added_metrics(folder: RunFolder) -> list[str]:
    """Names of the metrics that `bench score --metrics` added to the suite's."""
    found = read_json(folder.path / METRICS).get(ADDED, [])
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _score_images(
    inputs: ScoringInputs, identities: dict[str, IdentityImages], context: ScoringContext
) -> Iterator[ScoreRow]:
    stored = StoredImages(inputs.folder, inputs.suite, identities)
    backbone = stored.of_backbone(inputs.cells_of(inputs.floor))
    needed = any(needs_backbone(metric) for metric in context.metrics.of_subjects)
    for label in inputs.labels:
        cells = _by_person(inputs.cells_of(label))
        for part in in_parts(stored.of_subject(cells, backbone if needed else {})):
            yield from _score_row(label, part, context.metrics.of_subjects, context)
        for part in in_parts(stored.of_class(cells, backbone)) if label != inputs.floor else ():
            yield from _score_class_images(label, part, inputs, context)
        yield from _unscored(label, inputs)
    yield from _score_real(identities, context)


def _by_person(cells: Sequence[CellRow]) -> list[CellRow]:
    """The cells in their order, but those of a person together."""
    places = {who: place for place, who in enumerate(dict.fromkeys(cell.identity for cell in cells))}
    return sorted(cells, key=lambda cell: places[cell.identity])


def _announced_once(notify: Notify) -> Notify:
    """`notify`, which is not called again with the same line: a row may be scored in several parts."""
    known: set[str] = set()

    def announce(line: str) -> None:
        if line not in known:
            known.add(line)
            notify(line)

    return announce


def _score_real(identities: dict[str, IdentityImages], context: ScoringContext) -> Iterator[ScoreRow]:
    for label, real in ((REAL_SAME, real_same(identities)), (REAL_OTHER, real_other(identities))):
        yield from _score_row(label, list(real), context.metrics.of_subjects, context)


def _score_class_images(
    label: str, samples: Sequence[EvaluationSample], inputs: ScoringInputs, context: ScoringContext
) -> Iterator[ScoreRow]:
    """Scores of class images; those without the backbone's image of the same seed get a reason."""
    metrics = context.metrics.of_priors
    yield from _score_row(
        label, [one for one in samples if one.sample.backbone_image is not None], metrics, context
    )
    for one in samples:
        if one.sample.backbone_image is None:
            missing = Score(None, _no_backbone_reason(one, inputs))
            yield from (_row(label, one, metric, missing, context.metrics) for metric in metrics)


def _no_backbone_reason(one: EvaluationSample, inputs: ScoringInputs) -> str:
    """Why a class image has no image of the backbone to be compared with."""
    if inputs.floor not in inputs.labels:
        return f"{inputs.floor} is not among the run's methods; run it too"
    place = (one.sample.identity, one.prompt, one.sample_number)
    return f"the image of {inputs.floor} is {inputs.flaws_of_floor.get(place) or 'missing'}"


def _score_row(
    label: str,
    samples: Sequence[EvaluationSample],
    metrics: Sequence[SampleMetric],
    context: ScoringContext,
) -> Iterator[ScoreRow]:
    """Scores of every image of one row by every metric."""
    for metric in metrics if samples else []:
        fit = [one for one in samples if one.sample.person or not of_people(metric)]
        context.notify(f"{label}: {title(metric)}")
        scores = checked_scores(metric, [one.sample for one in fit], context.real) if fit else []
        known = {one.sample.id: score for one, score in zip(fit, scores, strict=True)}
        for one in samples:
            score = known.get(one.sample.id, Score(None, NO_PERSON))
            yield _row(label, one, metric, score, context.metrics)


def _row(label: str, one: EvaluationSample, metric: SampleMetric, score: Score, metrics: Metrics) -> ScoreRow:
    sample = one.sample
    place = (label, sample.identity, one.prompt, one.category, one.sample_number)
    fingerprint = metrics.fingerprint_of(metric)
    return ScoreRow(*place, metric.name, metric.encoder, score.value, score.reason, fingerprint)


def _unscored(label: str, inputs: ScoringInputs) -> Iterator[ScoreRow]:
    """Lines with a reason for the cells without an image, or with one that shows nothing."""
    of_priors = inputs.metrics.of_priors if label != inputs.floor else []
    for cell in inputs.cells_of(label):
        if cell.has_content:
            continue
        place = (cell.method, cell.identity, cell.prompt, cell.category, cell.sample)
        for metric in of_priors if cell.category == PRIOR else inputs.metrics.of_subjects:
            fingerprint = inputs.metrics.fingerprint_of(metric)
            yield ScoreRow(*place, metric.name, metric.encoder, None, cell.no_score_reason, fingerprint)


def _score_sets(inputs: ScoringInputs, notify: Notify) -> Iterator[SetRow]:
    if not inputs.metrics.of_sets:
        return
    subjects = [_set_subject(label, inputs) for label in inputs.labels]
    chosen = inputs.people.chosen
    real = RealPhotos(
        {who.id: [photo.load for photo in who.references] for who in chosen},
        {who.id: [photo.load for photo in who.held_out] for who in chosen},
        [photo.load for photo in inputs.people.others],
    )
    for metric in inputs.metrics.of_sets:
        notify(title(metric))
        fingerprint = inputs.metrics.fingerprint_of(metric)
        checked = CheckedSetMetric(metric)
        yield from set_rows(checked, subjects, real, fingerprint=fingerprint, seed=inputs.seed)


def _set_subject(label: str, inputs: ScoringInputs) -> SetSubject:
    planned = [cell for cell in inputs.cells_of(label) if cell.category != PRIOR]
    images = tuple(
        SetImage(place_of(cell), partial(load_image, inputs.folder.image_of(cell)))
        for cell in planned
        if cell.has_content
    )
    return SetSubject(label, len(planned), images)
