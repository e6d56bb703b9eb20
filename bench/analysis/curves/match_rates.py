"""Match rate against false-match rate, over all thresholds of an identity metric.

The score of an image is its mean cosine to the person's held-out photographs. Photographs of other people
were scored in the same way. At every threshold, the false-match rate is the share of their scores above it,
and the match rate of a method the share of its images above it. Unlike the metric `verified`, which compares
single pairs of images, this needs nothing but the scores of a finished run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.analysis.columns import ImageColumn
from bench.analysis.scored_rows import clusters_of
from bench.analysis.statistics import Estimate, estimate
from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, ScoreRow

FALSE_MATCH_RATES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Rates with an interval; those below one photograph of another person are left out."""
ROUNDING: Final = 1e-9
METRIC: Final = "identity"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MatchRate:
    """The share of a row's images that are accepted at one threshold."""

    false_match_rate: float
    """The largest realised one that is at most the rate asked for."""
    threshold: float
    """Scores above it are accepted."""
    match_rate: Estimate
    """Its interval takes the threshold as given."""


@dataclass(frozen=True)
class MatchRateCurve:
    """The match rates of one row of the table in one identity column."""

    label: str
    false_match_rates: Floats
    """Realised rates from 0 to 1, one per threshold; rising."""
    match_rates: Floats
    points: tuple[MatchRate, ...]


def has_match_rates(column: ImageColumn) -> bool:
    """Whether the column has scores of photographs of other people to set thresholds by."""
    return column.column.name == METRIC and len(_impostors(column)) > 0


def match_rate_curves(column: ImageColumn) -> list[MatchRateCurve]:
    """The curves of all methods and of photographs of the same person; empty without `has_match_rates`.

    An image without a score, for example without a face, is rejected at every threshold.
    """
    if not has_match_rates(column):
        return []
    run, impostors = column.run, _impostors(column)
    labels = [label for label in (*run.methods, REAL_SAME) if run.scores_of(label, column.column)]
    return [_curve(run, column, label, impostors) for label in labels]


def _curve(run: FinishedRun, column: ImageColumn, label: str, impostors: Floats) -> MatchRateCurve:
    rows = run.scores_of(label, column.column)
    scores = _values(rows)
    # At an impostor's own score, every image that can be accepted at this false-match rate is accepted.
    thresholds = np.append(np.unique(impostors)[::-1], -np.inf)
    false_match_rates = _shares_above(impostors, thresholds)
    points = []
    for rate in (rate for rate in FALSE_MATCH_RATES if rate * len(impostors) >= 1):
        best = int(np.searchsorted(false_match_rates, rate + ROUNDING, "right")) - 1
        accepted = (scores > thresholds[best]).astype(np.float64)
        found = estimate(accepted, [clusters_of(row) for row in rows], share=True)
        points.append(MatchRate(float(false_match_rates[best]), float(thresholds[best]), found))
    return MatchRateCurve(label, false_match_rates, _shares_above(scores, thresholds), tuple(points))


def _shares_above(scores: Floats, thresholds: Floats) -> Floats:
    """The share of scores above each threshold; at minus infinity, the share of images with a score."""
    rising = np.sort(scores)
    return 1 - np.searchsorted(rising, thresholds, "right") / len(rising)


def _impostors(column: ImageColumn) -> Floats:
    values = _values(column.run.scores_of(REAL_OTHER, column.column))
    return values[np.isfinite(values)]


def _values(rows: Sequence[ScoreRow]) -> Floats:
    """Minus infinity for a missing score."""
    return np.array([-np.inf if row.value is None else row.value for row in rows])
