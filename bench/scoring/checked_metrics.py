"""Calls of metrics with their results checked: a score is a finite number, or a reason."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL.Image import Image

from bench.scoring.suite_metrics import title
from metrics.interface import (
    Better,
    Features,
    MetricError,
    RealPhoto,
    Sample,
    SampleMetric,
    Score,
    SetMetric,
)

NOT_FINITE: Final = "not finite"
NO_REASON: Final = "the metric states no reason"


def checked_scores(metric: SampleMetric, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
    """One checked score per sample. Raises MetricError for another number of scores, or for a non-number."""
    scores = metric.score(samples, real)
    try:
        count = len(scores)
    except TypeError:
        raise MetricError(
            f"{title(metric)}: `score` returned a {type(scores).__name__}, expected a list of Score"
        ) from None
    if count != len(samples):
        raise MetricError(f"{title(metric)}: `score` returned {count} scores for {len(samples)} images")
    return [checked_score(score, title(metric)) for score in scores]


def checked_score(score: Score, column: str) -> Score:
    """The score with a float as its value; a value that is NaN or infinite becomes a reason.

    Raises MetricError for anything but a Score with a number or None.
    """
    if not isinstance(score, Score):
        raise MetricError(f"{column}: a score is a {type(score).__name__}, expected metrics.interface.Score")
    if score.value is None:
        return Score(None, score.reason or NO_REASON)
    try:
        if isinstance(score.value, str | bytes):
            raise TypeError
        value = float(score.value)
    except (TypeError, ValueError):
        raise MetricError(f"{column}: a score is {score.value!r:.60}, expected a number or None") from None
    return Score(value, score.reason) if math.isfinite(value) else Score(None, NOT_FINITE)


@dataclass(frozen=True)
class CheckedSetMetric:
    """A set metric whose results are checked."""

    metric: SetMetric

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def encoder(self) -> str:
        return self.metric.encoder

    @property
    def better(self) -> Better:
        return self.metric.better

    @property
    def fingerprint(self) -> dict[str, str]:
        return dict(self.metric.fingerprint)

    def features(self, images: Sequence[Image]) -> Features:
        """One row per image; raises MetricError for another number of rows."""
        rows = self.metric.features(images)
        if len(rows) != len(images):
            raise MetricError(
                f"{title(self.metric)}: `features` returned {len(rows)} rows for {len(images)} images"
            )
        return rows

    def measure(self, generated: Features, real: Features) -> Score:
        """The checked score of a set."""
        return checked_score(self.metric.measure(generated, real), title(self.metric))
