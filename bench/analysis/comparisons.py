"""What a finished run says: means with intervals, shares from floor to ceiling, paired differences."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from bench.analysis.statistics import Estimate, Pair, estimate, holm, jackknife, pair_means, paired_difference
from bench.runs.finished_run import Column, FinishedRun, OverlapKind
from bench.runs.tables import FLOOR, REAL_OTHER, REAL_SAME, REAL_SET, ScoreRow
from bench.suite.prompts import PRIOR

ALPHA: Final = 0.05
CEILING: Final = "photo-copy"
BASELINES: Final = (FLOOR, CEILING)


@dataclass(frozen=True)
class TableEntry:
    """One cell of the table."""

    estimate: Estimate | None
    """None where no picture could be scored."""
    n: int
    of: int
    overlap: OverlapKind | None
    reasons: Mapping[str, int]
    """Reasons for missing scores, with their number."""


@dataclass(frozen=True)
class Contrast:
    """One method minus another, paired by person and prompt."""

    one: str
    other: str
    difference: Estimate
    p: float
    """After Holm's correction over the column."""

    @property
    def separable(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p < ALPHA


@dataclass(frozen=True)
class SetEntry:
    """One cell of the table of set metrics."""

    value: float | None
    interval: tuple[float, float] | None
    n: int
    against: int
    reason: str
    overlap: OverlapKind | None


def picture_columns(run: FinishedRun) -> list[Column]:
    """Columns with a score per picture."""
    return [column for column in run.columns if column.of == "pictures"]


def set_columns(run: FinishedRun) -> list[Column]:
    """Columns with a score per set."""
    return [column for column in run.columns if column.of == "sets"]


def prior_columns(run: FinishedRun) -> list[Column]:
    """Columns with a score per picture of somebody else."""
    return [column for column in run.columns if column.of == "priors"]


def entry(run: FinishedRun, label: str, column: Column, people: Container[str] | None = None) -> TableEntry:
    """Mean, interval and coverage of one row in one column; of some people only, where they are given."""
    rows = [row for row in _rows(run, label, column) if people is None or row.identity in people]
    scored = [row for row in rows if row.value is not None]
    found = None
    if scored:
        values, pairs = values_of(scored), [pair_of(row) for row in scored]
        found = estimate(values, pairs, seed=run.seed)
    reasons = Counter(row.reason or "no reason given" for row in rows if row.value is None)
    return TableEntry(found, len(scored), len(rows), run.overlap(label, column), reasons)


def pair_of(row: ScoreRow) -> Pair:
    """The clusters a picture belongs to; a photograph's caption is a prompt of its person alone."""
    own = row.category in ("recaption", "real", PRIOR)
    return row.identity, (row.identity, row.prompt) if own else row.prompt


def values_of(rows: Iterable[ScoreRow]) -> list[float]:
    """The scores of the rows that have one."""
    return [row.value for row in rows if row.value is not None]


def means_of(run: FinishedRun, label: str, column: Column) -> dict[Pair, float]:
    """A row's mean for each person and prompt that was scored."""
    scored = [row for row in _rows(run, label, column) if row.value is not None]
    return pair_means(values_of(scored), [pair_of(row) for row in scored])


def share(run: FinishedRun, label: str, column: Column) -> float | None:
    """How far from the other-person floor to the same-person ceiling the mean has come; 0 to 1, or beyond."""
    ends = [entry(run, name, column).estimate for name in (REAL_OTHER, label, REAL_SAME)]
    floor, mean, ceiling = ends
    if floor is None or mean is None or ceiling is None or column.better == "neither":
        return None
    way = ceiling.mean - floor.mean
    # A way as short as its own uncertainty would make any share.
    width = max((end.high or 0) - (end.low or 0) for end in (floor, ceiling))
    return (mean.mean - floor.mean) / way if abs(way) > width else None


def no_share(run: FinishedRun, column: Column) -> str:
    """Why no share can be given in a column; empty where one can."""
    if column.of == "sets":
        return "a set of photographs of other people is as real as one of the same: there is no floor"
    if column.better == "neither":
        return "neither side is the better one"
    if any(entry(run, label, column).estimate is None for label in (REAL_SAME, REAL_OTHER)):
        return "real photographs get no such score"
    return "" if share(run, REAL_SAME, column) is not None else "floor and ceiling are not apart"


def contrasts_with(run: FinishedRun, column: Column, baseline: str) -> list[Contrast]:
    """Every other method minus `baseline`, corrected over the methods."""
    others = [label for label in run.methods if label not in BASELINES]
    return _corrected(run, column, [(label, baseline) for label in others])


def contrasts_between(run: FinishedRun, column: Column) -> list[Contrast]:
    """Every method minus every other, corrected over the pairs; baselines and leaking ones are left out."""
    return _corrected(run, column, list(combinations(ranked(run, column), 2)))


def paired(run: FinishedRun, column: Column, one: str, other: str) -> Estimate | None:
    """One row minus another, paired by person and prompt; None where they share no scored pair."""
    return next((d for _, _, d in _differences(run, column, [(one, other)])), None)


def ranked(run: FinishedRun, column: Column) -> list[str]:
    """Methods from best to worst, without baselines and without numbers that leak."""
    sign = {"higher": -1.0, "lower": 1.0}.get(column.better)
    if sign is None:
        return []
    means = {}
    for label in run.methods:
        found = entry(run, label, column)
        if label not in BASELINES and found.overlap is None and found.estimate is not None:
            means[label] = sign * found.estimate.mean
    return sorted(means, key=means.__getitem__)


def set_entry(run: FinishedRun, label: str, column: Column) -> SetEntry | None:
    """Value and interval of one row in a column of set metrics; None where there is no such row."""
    rows = [row for row in run.sets if row.method == label and column.holds(row)]
    whole = next((row for row in rows if not row.left_out), None)
    if whole is None:
        return None
    overlap = run.overlap(label, column)
    value = whole.value
    without = [row.value for row in rows if row.left_out and row.value is not None]
    interval = jackknife(value, without) if value is not None else None
    return SetEntry(value, interval, whole.n, whole.against, whole.reason, overlap)


def set_labels(run: FinishedRun) -> list[str]:
    """Rows of the table of set metrics."""
    return [*run.methods, REAL_SET]


def _corrected(run: FinishedRun, column: Column, pairs: Sequence[tuple[str, str]]) -> list[Contrast]:
    raw = list(_differences(run, column, pairs))
    adjusted = holm([1.0 if d.p is None else d.p for _, _, d in raw])
    return [Contrast(one, other, d, p) for (one, other, d), p in zip(raw, adjusted, strict=True)]


def _differences(
    run: FinishedRun, column: Column, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str, Estimate]]:
    for one, other in pairs:
        found = paired_difference(means_of(run, one, column), means_of(run, other, column), seed=run.seed)
        if found is not None:
            yield one, other, found


def _rows(run: FinishedRun, label: str, column: Column) -> list[ScoreRow]:
    return run.scores_of(label, column)
