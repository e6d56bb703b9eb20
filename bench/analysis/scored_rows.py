"""One row of the comparison table in one column: its scores, their people and prompts, its mean."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.analysis.statistics import Estimate, Pair, estimate
from bench.runs.finished_run import Column, FinishedRun, OverlapKind
from bench.runs.records.tables import ScoreRow
from bench.suite.prompts import PRIOR

ONE_PROMPT: Final = ("recaption", "real", PRIOR)
"""Categories whose prompts count as one: they differ from person to person."""


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


def entry_of(
    run: FinishedRun,
    label: str,
    column: Column,
    people: Container[str] | None = None,
    *,
    share: bool = False,
) -> TableEntry:
    """Mean, interval and coverage of one row in one column, optionally restricted to some people."""
    rows = [row for row in run.scores_of(label, column) if people is None or row.identity in people]
    with_value = scored(rows)
    mean = None
    if with_value:
        values, pairs = [value for _, value in with_value], [clusters_of(row) for row, _ in with_value]
        mean = estimate(values, pairs, share=share)
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
    """The person and prompt of an image; prompts that differ from person to person count as one."""
    return row.identity, row.category if row.category in ONE_PROMPT else row.prompt


def pair_means(values: Sequence[float], pairs: Sequence[Pair]) -> dict[Pair, float]:
    """The mean over the samples of each (identity, prompt)."""
    found: dict[Pair, list[float]] = {}
    for value, pair in zip(values, pairs, strict=True):
        found.setdefault(pair, []).append(value)
    return {pair: sum(members) / len(members) for pair, members in found.items()}
