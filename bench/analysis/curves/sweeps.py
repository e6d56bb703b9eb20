"""Swept settings: curves of a metric against a setting; rows at matched prompt match."""

import re
from dataclasses import dataclass
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.statistics import Estimate
from bench.runs.finished_run import FinishedRun

SWEPT: Final = re.compile(r"(?P<method>.+)@(?P<setting>[^=@]+)=(?P<value>.+)")
"""The label of a row that a sweep made: `ip-adapter@scale=0.5`."""


@dataclass(frozen=True)
class SweepPoint:
    """One row of the table as a point of a curve."""

    label: str
    x: Estimate
    y: Estimate


@dataclass(frozen=True)
class Curve:
    """The rows that a sweep made of one method, by rising setting."""

    method: str
    points: tuple[SweepPoint, ...]


@dataclass(frozen=True)
class MatchedRow:
    """The row of one method with the highest identity among those that keep the floor's prompt match."""

    method: str
    label: str
    identity: Estimate
    prompt: Estimate
    """Prompt match minus the floor's, paired by person and prompt."""


def is_swept(run: FinishedRun) -> bool:
    """Whether any row of the run was made by a sweep."""
    return any(SWEPT.fullmatch(label) for label in run.methods)


def swept_settings(run: FinishedRun) -> list[str]:
    """The settings that sweeps of the run changed."""
    return list(dict.fromkeys(f["setting"] for label in run.methods if (f := SWEPT.fullmatch(label))))


def method_of(label: str) -> str:
    """The method of a row, without its swept setting."""
    found = SWEPT.fullmatch(label)
    return found["method"] if found else label


def value_of(label: str, setting: str) -> float | None:
    """The value of a swept setting in this row; None for other rows and for text values."""
    found = SWEPT.fullmatch(label)
    if found is None or found["setting"] != setting:
        return None
    try:
        return float(found["value"])
    except ValueError:
        return None


def curves(table: ComparisonTable, setting: str, metric: str) -> list[Curve]:
    """A column, such as `identity@sface`, against a swept setting, by method; without curves of no point.

    Raises ReportError for an unknown column.
    """
    column = table.column(metric)
    by_method: dict[str, list[SweepPoint]] = {}
    for label in table.run.methods:
        mean, value = column.entry(label).estimate, value_of(label, setting)
        if mean is not None and value is not None:
            point = SweepPoint(label, Estimate(value, None, None, 0), mean)
            by_method.setdefault(method_of(label), []).append(point)
    return [
        Curve(method, tuple(sorted(points, key=lambda point: point.x.mean)))
        for method, points in by_method.items()
    ]


def matched_rows(identity: ImageColumn, prompt: ImageColumn) -> list[MatchedRow]:
    """Per method, its best row by identity whose prompt match is not shown to be below the floor's.

    "Not shown": the paired 95 % interval of the difference to the floor touches zero or lies above it.
    Empty where the run has no floor. The selection uses the reported numbers, which favours methods
    with more settings.
    """
    run = identity.run
    best: dict[str, MatchedRow] = {}
    for label in run.methods:
        difference = prompt.minus_floor.get(label)
        mean = identity.entry(label).estimate
        if difference is None or mean is None or difference.high is None or difference.high < 0:
            continue
        row = MatchedRow(method_of(label), label, mean, difference)
        if row.method not in best or best[row.method].identity.mean < mean.mean:
            best[row.method] = row
    return [row for method, row in best.items() if method != run.floor]
