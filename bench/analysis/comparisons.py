"""One column of the comparison table: means with intervals, shares, paired differences, a ranking."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import ClassVar, Final

from bench.analysis.statistics import Estimate, Pair, estimate, holm, jackknife, pair_means, paired_difference
from bench.runs.finished_run import Column, FinishedRun, OverlapKind
from bench.runs.tables import REAL_OTHER, REAL_SAME, REAL_SET, ScoreRow
from bench.suite.prompts import PRIOR

ALPHA: Final = 0.05


@dataclass(frozen=True)
class TableEntry:
    """The scores of one row in one column."""

    estimate: Estimate | None
    """None where no image has a score."""
    n: int
    of: int
    """Number of images, scored or not."""
    overlap: OverlapKind | None
    reasons: Mapping[str, int]
    """Reasons for missing scores, with their number."""


NO_SCORES: Final = TableEntry(None, 0, 0, None, {})


@dataclass(frozen=True)
class Contrast:
    """One method minus another, paired by person and prompt."""

    one: str
    other: str
    difference: Estimate
    p: float
    """After Holm's correction."""

    @property
    def separable(self) -> bool:
        """Whether the difference is significant at ALPHA."""
        return self.p < ALPHA


@dataclass(frozen=True)
class SetEntry:
    """The score of one row in one column of a set metric."""

    value: float | None
    interval: tuple[float, float] | None
    n: int
    against: int
    """Number of real photographs in the comparison."""
    reason: str
    overlap: OverlapKind | None


@dataclass(frozen=True)
class ImageColumn:
    """The statistics of a column with one score per image. Each is computed on first use, and once."""

    run: FinishedRun
    column: Column

    def entry(self, label: str) -> TableEntry:
        """Mean, interval and coverage of one row; NO_SCORES for an unknown row."""
        return self._entries.get(label, NO_SCORES)

    def share(self, label: str) -> float | None:
        """Position of a row's mean between real photographs of other people (0) and of the same person (1).

        None where the column has no direction, a mean is missing, or floor and ceiling are too close.
        """
        estimates = [self.entry(name).estimate for name in (REAL_OTHER, label, REAL_SAME)]
        floor, own, ceiling = estimates
        if floor is None or own is None or ceiling is None or self.column.better == "neither":
            return None
        distance = ceiling.mean - floor.mean
        # A distance below its own uncertainty would give arbitrary shares.
        width = max((end.high or 0) - (end.low or 0) for end in (floor, ceiling))
        return (own.mean - floor.mean) / distance if abs(distance) > width else None

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
        """Methods from best to worst, without baselines and without overlap; empty without a direction."""
        sign = {"higher": -1.0, "lower": 1.0}.get(self.column.better)
        if sign is None:
            return []
        means = {}
        for label in self.run.methods:
            entry = self.entry(label)
            if not self.run.is_baseline(label) and entry.overlap is None and entry.estimate is not None:
                means[label] = sign * entry.estimate.mean
        return sorted(means, key=means.__getitem__)

    @cached_property
    def minus_floor(self) -> dict[str, Estimate]:
        """Every row minus the floor, paired and not corrected; without rows that share no scored pair."""
        return self._minus(self.run.floor, self.run.methods)

    @cached_property
    def against_floor(self) -> dict[str, Contrast]:
        """Every method minus the floor, corrected over the methods."""
        differences = {label: d for label, d in self.minus_floor.items() if not self.run.is_baseline(label)}
        return _against(self.run.floor, differences)

    @cached_property
    def against_ceiling(self) -> dict[str, Contrast]:
        """Every method minus the ceiling, corrected over the methods."""
        methods = [label for label in self.run.methods if not self.run.is_baseline(label)]
        return _against(self.run.ceiling, self._minus(self.run.ceiling, methods))

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Every ranked method minus every other, corrected over the pairs."""
        pairs = list(combinations(self.ranking, 2))
        return _corrected([(*pair, d) for pair in pairs if (d := self.paired(*pair)) is not None])

    def paired(self, one: str, other: str) -> Estimate | None:
        """One row minus another, paired by person and prompt; None where they share no scored pair."""
        means = [self._means.get(label, {}) for label in (one, other)]
        return paired_difference(means[0], means[1], seed=self.run.seed)

    def scores_by_person(self, label: str) -> dict[str, list[float]]:
        """The scores of one row, by person."""
        found: dict[str, list[float]] = defaultdict(list)
        for row, value in scored(self.run.scores_of(label, self.column)):
            found[row.identity].append(value)
        return dict(found)

    @cached_property
    def _entries(self) -> dict[str, TableEntry]:
        labels = [*self.run.methods, REAL_SAME, REAL_OTHER]
        return {label: entry_of(self.run, label, self.column) for label in labels}

    @cached_property
    def _means(self) -> dict[str, dict[Pair, float]]:
        return {label: means_of(self.run, label, self.column) for label in self.run.methods}

    def _minus(self, other: str, labels: Iterable[str]) -> dict[str, Estimate]:
        return {label: d for label in labels if (d := self.paired(label, other)) is not None}


@dataclass(frozen=True)
class SetColumn:
    """The statistics of a column with one score per set of images."""

    run: FinishedRun
    column: Column

    no_share_reason: ClassVar[str] = (
        "there is no floor, because photographs of other people are as realistic as those of the same person"
    )

    @cached_property
    def entries(self) -> dict[str, SetEntry]:
        """Value and interval of every row that has one."""
        entries = {label: self._entry(label) for label in [*self.run.methods, REAL_SET]}
        return {label: entry for label, entry in entries.items() if entry is not None}

    def _entry(self, label: str) -> SetEntry | None:
        rows = [row for row in self.run.sets if row.method == label and self.column.contains(row)]
        whole = next((row for row in rows if not row.left_out), None)
        if whole is None:
            return None
        without = [row.value for row in rows if row.left_out and row.value is not None]
        interval = jackknife(whole.value, without) if whole.value is not None else None
        overlap = self.run.overlap(label, self.column)
        return SetEntry(whole.value, interval, whole.n, whole.against, whole.reason, overlap)


def entry_of(
    run: FinishedRun, label: str, column: Column, people: Container[str] | None = None
) -> TableEntry:
    """Mean, interval and coverage of one row in one column, optionally restricted to some people."""
    rows = [row for row in run.scores_of(label, column) if people is None or row.identity in people]
    with_value = scored(rows)
    mean = None
    if with_value:
        values, pairs = [value for _, value in with_value], [clusters_of(row) for row, _ in with_value]
        mean = estimate(values, pairs, seed=run.seed)
    reasons = Counter(row.reason or "no reason given" for row in rows if row.value is None)
    return TableEntry(mean, len(with_value), len(rows), run.overlap(label, column), reasons)


def means_of(run: FinishedRun, label: str, column: Column) -> dict[Pair, float]:
    """A row's mean for each scored person and prompt."""
    with_value = scored(run.scores_of(label, column))
    return pair_means([value for _, value in with_value], [clusters_of(row) for row, _ in with_value])


def scored(rows: Iterable[ScoreRow]) -> list[tuple[ScoreRow, float]]:
    """The rows that have a score, with it."""
    return [(row, row.value) for row in rows if row.value is not None]


def clusters_of(row: ScoreRow) -> Pair:
    """The person and prompt of an image. The caption of a photograph is a prompt of its person alone."""
    own = row.category in ("recaption", "real", PRIOR)
    return row.identity, (row.identity, row.prompt) if own else row.prompt


def _against(other: str, differences: Mapping[str, Estimate]) -> dict[str, Contrast]:
    return {c.one: c for c in _corrected([(label, other, d) for label, d in differences.items()])}


def _corrected(differences: Sequence[tuple[str, str, Estimate]]) -> list[Contrast]:
    adjusted = holm([1.0 if d.p is None else d.p for _, _, d in differences])
    return [Contrast(one, other, d, p) for (one, other, d), p in zip(differences, adjusted, strict=True)]
