"""A column of the comparison table with one score per image: means, shares, differences, a ranking."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

from bench.analysis.contrasts import Contrast, Imputed, corrected, imputed_means
from bench.analysis.fit_variance import FitVariance, fit_variance
from bench.analysis.scored_rows import NO_SCORES, TableEntry, entry_of, scored
from bench.analysis.statistics import LEVEL, Estimate, PairedDifference, jackknife, spread_of_difference
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME

SHARES: Final = frozenset({"verified", "detected", "multi-face", "prompt-match@attributes"})
"""Metrics whose mean is a share of images, or of attributes; any metric of zeros and ones is one too."""


@dataclass(frozen=True)
class Share:
    """Position of a mean between real photographs of other people (0) and of the same person (1)."""

    value: float
    interval: tuple[float, float] | None
    """Jackknife over people; None for too few, or where it would have no width."""


@dataclass(frozen=True)
class ImageColumn:
    """The statistics of a column with one score per image. Each is computed on first use, and once."""

    run: FinishedRun
    column: Column

    def entry(self, label: str) -> TableEntry:
        """Mean, interval and coverage of one row; NO_SCORES for an unknown row."""
        return self._entries.get(label, NO_SCORES)

    def share(self, label: str) -> Share | None:
        """Position of a row's mean between floor and ceiling of the metric itself.

        None where the column has no direction, a mean is missing, or floor and ceiling are too close.
        """
        estimates = [self.entry(name).estimate for name in (REAL_OTHER, label, REAL_SAME)]
        floor, own, ceiling = estimates
        if floor is None or own is None or ceiling is None or self.column.better == "neither":
            return None
        distance = ceiling.mean - floor.mean
        # A distance below its own uncertainty would give arbitrary shares.
        width = max((end.high or 0) - (end.low or 0) for end in (floor, ceiling))
        if abs(distance) <= width:
            return None
        value = (own.mean - floor.mean) / distance
        without = self._shares_without(label)
        # People who are all alike do not prove that others would be.
        interval = jackknife(value, without) if len(set(without)) > 1 else None
        return Share(value, interval)

    def _shares_without(self, label: str) -> list[float]:
        """The share with one person left out at a time."""
        rows = [scored(self.run.scores_of(name, self.column)) for name in (REAL_OTHER, label, REAL_SAME)]
        shares = []
        for person in dict.fromkeys(row.identity for row, _ in rows[1]):
            kept = [[value for row, value in found if row.identity != person] for found in rows]
            if not all(kept):
                return []
            floor, own, ceiling = (sum(values) / len(values) for values in kept)
            shares.append((own - floor) / (ceiling - floor) if ceiling != floor else float("inf"))
        return shares

    @property
    def no_share_reason(self) -> str:
        """Why the column has no shares; empty where it has."""
        if self.column.better == "neither":
            return "neither direction is better"
        if any(self.entry(label).estimate is None for label in (REAL_SAME, REAL_OTHER)):
            return "real photographs have no such score"
        if self.share(REAL_SAME) is None:
            return "floor and ceiling differ by less than their intervals"
        return ""

    @cached_property
    def ranking(self) -> list[str]:
        """Methods from best to worst, without baselines and without overlap; empty without a direction.

        The order is that of the means that the contrasts compare. A missing score counts as the worst score
        of the column, so that a method cannot gain by losing its worst images.
        """
        if self.column.better not in ("higher", "lower"):
            return []
        means = {label: sum(found.values()) / len(found) for label, found in self._ranked.items() if found}
        return self._best_first(means)

    @property
    def order_of_means(self) -> list[str]:
        """The ranked methods by the means of the scores that they have."""
        means = {label: found.mean for label in self.ranking if (found := self.entry(label).estimate)}
        return self._best_first(means)

    def _best_first(self, means: Mapping[str, float]) -> list[str]:
        sign = -1.0 if self.column.better == "higher" else 1.0
        return sorted(means, key=lambda label: sign * means[label])

    @cached_property
    def fit_variances(self) -> dict[str, FitVariance]:
        """Variance between people, fits and images, by row; without rows of one fit per person."""
        if not self.run.has_several_fits:
            return {}
        found = {label: fit_variance(self.run, label, self.column) for label in self.run.methods}
        return {label: variance for label, variance in found.items() if variance is not None}

    @cached_property
    def minus_floor(self) -> dict[str, Estimate]:
        """Every row minus the floor, paired and not corrected; without rows that share no scored pair."""
        floor = self.run.floor
        return {label: d for label in self.run.methods if (d := self.paired(label, floor)) is not None}

    @cached_property
    def against_floor(self) -> dict[str, Contrast]:
        """Every method minus the floor, corrected over the methods."""
        return self._against(self.run.floor)

    @cached_property
    def against_ceiling(self) -> dict[str, Contrast]:
        """Every method minus the ceiling, corrected over the methods."""
        return self._against(self.run.ceiling)

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Every ranked method minus every other, corrected over the pairs; people and prompts vary."""
        return self._contrasts(fixed_prompts=False)

    @cached_property
    def contrasts_with_fixed_prompts(self) -> list[Contrast]:
        """The same with the prompts taken as given: only people vary."""
        return self._contrasts(fixed_prompts=True)

    def paired(self, one: str, other: str) -> Estimate | None:
        """One row minus another, paired by person and prompt, not corrected; None without a shared pair."""
        found = self._paired(self.imputed([one, other]), one, other, fixed_prompts=False)
        return None if found is None else found.estimate(LEVEL)

    def imputed(self, labels: Sequence[str]) -> Imputed:
        """Means by person and prompt of some rows, over the images that at least one of them has a score for.

        A missing score counts as the worst score of any method in the column. In a column without a
        direction, the image is left out of all rows.
        """
        rows = {label: self.run.scores_of(label, self.column) for label in labels}
        return imputed_means(rows, self._worst)

    @cached_property
    def _worst(self) -> float | None:
        """The worst score of any method; None in a column without a direction or without scores."""
        values = self._values
        worst: Callable[[Collection[float]], float] | None = {"higher": min, "lower": max}.get(
            self.column.better
        )
        return worst(values) if worst is not None and values else None

    @cached_property
    def is_share(self) -> bool:
        """Whether the mean is a share of images."""
        if not SHARES.isdisjoint((self.column.name, self.column.qualified_name)):
            return True
        return self._values == {0.0, 1.0}

    @cached_property
    def _values(self) -> set[float]:
        """The different scores of all methods."""
        return {v for label in self.run.methods for _, v in scored(self.run.scores_of(label, self.column))}

    @cached_property
    def _ranked(self) -> Imputed:
        return self.imputed([label for label in self.run.methods if self._is_ranked(label)])

    def _is_ranked(self, label: str) -> bool:
        entry = self.entry(label)
        return not self.run.is_baseline(label) and entry.overlap is None and entry.estimate is not None

    def _contrasts(self, *, fixed_prompts: bool) -> list[Contrast]:
        def difference(one: str, other: str) -> PairedDifference | None:
            return self._paired(self._ranked, one, other, fixed_prompts=fixed_prompts)

        return corrected(list(combinations(self.ranking, 2)), difference)

    def _against(self, baseline: str) -> dict[str, Contrast]:
        methods = [label for label in self.run.methods if not self.run.is_baseline(label)]
        means = {label: self.imputed([label, baseline]) for label in methods}

        def difference(one: str, other: str) -> PairedDifference | None:
            return self._paired(means[one], one, other, fixed_prompts=False)

        contrasts = corrected([(label, baseline) for label in methods], difference)
        return {contrast.one: contrast for contrast in contrasts}

    def _paired(
        self, means: Imputed, one: str, other: str, *, fixed_prompts: bool
    ) -> PairedDifference | None:
        return spread_of_difference(
            means.get(one, {}), means.get(other, {}), shares=self.is_share, fixed_prompts=fixed_prompts
        )

    @cached_property
    def _entries(self) -> dict[str, TableEntry]:
        labels = [*self.run.methods, REAL_SAME, REAL_OTHER]
        return {label: entry_of(self.run, label, self.column, share=self.is_share) for label in labels}
