"""The comparison table: every statistic that a report, an export or a plot of a finished run shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bench.analysis.columns import ImageColumn
from bench.analysis.costs import Costs, costs_by_method
from bench.analysis.failures import failure_counts
from bench.analysis.rank_agreement import MetricPairAgreement, face_metric_pairs
from bench.analysis.set_columns import SetColumn
from bench.analysis.subgroups import SubgroupComparison, compare_subgroups
from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, REAL_SETS


@dataclass(frozen=True)
class ComparisonTable:
    """Every statistic of a finished run. Each is computed on first use, and once."""

    run: FinishedRun

    @property
    def rows(self) -> list[str]:
        """Row labels of the image columns: methods, then real photographs."""
        return [*self.run.methods, REAL_SAME, REAL_OTHER]

    @property
    def set_rows(self) -> list[str]:
        """Row labels of the set columns."""
        measured = {row.method for row in self.run.sets}
        return [*self.run.methods, *(label for label in REAL_SETS if label in measured)]

    @cached_property
    def image_columns(self) -> list[ImageColumn]:
        """Columns with a score per image of the subject."""
        return [ImageColumn(self.run, column) for column in self.run.columns if column.of == "pictures"]

    @cached_property
    def prior_columns(self) -> list[ImageColumn]:
        """Columns with a score per image without the subject."""
        return [ImageColumn(self.run, column) for column in self.run.columns if column.of == "priors"]

    @cached_property
    def set_columns(self) -> list[SetColumn]:
        """Columns with a score per set of images."""
        return [SetColumn(self.run, column) for column in self.run.columns if column.of == "sets"]

    def column(self, name: str) -> ImageColumn:
        """The image column `identity@sface`. Raises ReportError with the nearest name for an unknown one."""
        named = self.run.column_named(name)
        return next(column for column in self.image_columns if column.column is named)

    @cached_property
    def rank_agreements(self) -> list[MetricPairAgreement]:
        """Agreement of every two face networks on the ranking."""
        return face_metric_pairs(self.image_columns)

    @cached_property
    def subgroups(self) -> list[SubgroupComparison]:
        """Identity by groups of people."""
        return compare_subgroups(self.run, self.image_columns)

    @cached_property
    def costs(self) -> Mapping[str, Costs]:
        """Costs by method."""
        return costs_by_method(self.run)

    @cached_property
    def failures(self) -> Mapping[str, Mapping[str, int | None]]:
        """Numbers of unusable images by method and kind."""
        return failure_counts(self.run)


def compare(run: FinishedRun) -> ComparisonTable:
    """The comparison table of a run."""
    return ComparisonTable(run)
