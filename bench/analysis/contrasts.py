"""Paired comparisons of methods, with Holm's correction; a missing score counts as the worst."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bench.analysis.holm import holm, holm_levels
from bench.analysis.scored_rows import clusters_of, pair_means
from bench.analysis.statistics import LEVEL, Estimate, Pair, PairedDifference
from bench.runs.records.tables import ScoreRow

ALPHA: Final = 1 - LEVEL
Verdict = Literal["above", "below", "not separable"]
Imputed = Mapping[str, Mapping[Pair, float]]
"""By row, its mean for each person and prompt, where a missing score counts as the worst."""


@dataclass(frozen=True)
class Contrast:
    """One method minus another, paired by person and prompt."""

    one: str
    other: str
    difference: Estimate
    """Its interval has the level at which Holm's correction tested the difference."""
    p: float
    """After Holm's correction."""

    @property
    def separable(self) -> bool:
        """Whether the interval excludes 0."""
        return self.difference.low is not None and self.p <= ALPHA

    @property
    def verdict(self) -> Verdict:
        """Where `one` is relative to `other`."""
        if not self.separable:
            return "not separable"
        return "above" if self.difference.mean > 0 else "below"


def imputed_means(rows: Mapping[str, Sequence[ScoreRow]], worst: float | None) -> Imputed:
    """Means by person and prompt, over the images that all rows have and at least one has a score for.

    A missing score counts as `worst`. Where `worst` is None, an image without a score in one row is left
    out of all rows.
    """
    found = {
        label: {(row.identity, clusters_of(row)[1], row.prompt, row.sample): row.value for row in own}
        for label, own in rows.items()
    }
    shared = [key for key in next(iter(found.values()), {}) if all(key in own for own in found.values())]
    needed = all if worst is None else any
    images = [key for key in shared if needed(own[key] is not None for own in found.values())]
    missing = math.nan if worst is None else worst  # never used where it is not a number
    means: dict[str, Mapping[Pair, float]] = {}
    for label, own in found.items():
        values = [missing if (value := own[key]) is None else value for key in images]
        means[label] = pair_means(values, [key[:2] for key in images])
    return means


def corrected(
    pairs: Sequence[tuple[str, str]],
    difference: Callable[[str, str], PairedDifference | None],
) -> list[Contrast]:
    """Contrasts with Holm's correction over `pairs`, each with the interval of the level it was tested at.

    A pair whose difference is None is left out.
    """
    found = {pair: d for pair in pairs if (d := difference(*pair)) is not None}
    estimates = [d.estimate(LEVEL) for d in found.values()]
    p = [1.0 if e.p is None else e.p for e in estimates]
    return [
        Contrast(*pair, d.estimate(level), adjusted)
        for (pair, d), adjusted, level in zip(found.items(), holm(p), holm_levels(p), strict=True)
    ]
