"""A column of the comparison table with one score per set of images: values and intervals."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from bench.analysis.statistics import jackknife
from bench.runs.finished_run import Column, FinishedRun, OverlapKind
from bench.runs.records.tables import REAL_SETS


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
        entries = {label: self._entry(label) for label in [*self.run.methods, *REAL_SETS]}
        return {label: entry for label, entry in entries.items() if entry is not None}

    def _entry(self, label: str) -> SetEntry | None:
        rows = [row for row in self.run.sets if row.method == label and self.column.contains(row)]
        whole = next((row for row in rows if not row.left_out), None)
        if whole is None:
            return None
        without = [row.value for row in rows if row.left_out]
        interval = None
        # The others are no estimate of the whole where a set without one person could not be measured.
        if whole.value is not None and None not in without:
            interval = jackknife(whole.value, [value for value in without if value is not None])
        overlap = self.run.overlap(label, self.column)
        return SetEntry(whole.value, interval, whole.n, whole.against, whole.reason, overlap)
