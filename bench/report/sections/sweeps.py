"""Sweeps as curves of one metric against a setting or another metric; rows at matched prompt match."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.analysis.comparisons import entry, paired, picture_columns
from bench.analysis.statistics import Estimate
from bench.errors import ReportError, nearest
from bench.markdown import number, table
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.tables import FLOOR

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
    """The rows that a sweep made of one method, by rising setting; any other row is a curve of one."""

    method: str
    points: tuple[SweepPoint, ...]


@dataclass(frozen=True)
class MatchedPair:
    """The row of one method with the most identity among those that keep the prompt as the backbone does."""

    method: str
    label: str
    identity: Estimate
    prompt: Estimate
    """Prompt match minus the backbone's, paired by person and prompt."""


def method_of(label: str) -> str:
    """The method that a row is a setting of."""
    found = SWEPT.fullmatch(label)
    return found["method"] if found else label


def value_of(label: str, setting: str) -> float | None:
    """The number a sweep gave the setting in this row; None for other rows and for words."""
    found = SWEPT.fullmatch(label)
    if found is None or found["setting"] != setting:
        return None
    try:
        return float(found["value"])
    except ValueError:
        return None


def column_named(run: FinishedRun, name: str) -> Column:
    """The column called `identity@sface`; raises ReportError with the nearest name for an unknown one."""
    known = {f"{c.name}@{c.encoder}" if c.encoder else c.name: c for c in picture_columns(run)}
    if name not in known:
        raise ReportError(f"{run.path}: no column {name!r}; {nearest(name, known)}")
    return known[name]


def curves(run: FinishedRun, x: str, y: str) -> list[Curve]:
    """`y`, a column, against `x`, a swept setting or another column. Raises ReportError for unknown names."""
    column = column_named(run, y)
    settings = {found["setting"] for label in run.methods if (found := SWEPT.fullmatch(label))}
    at = _settings(run, x) if x in settings else _scores(run, column_named(run, x))
    by_method: dict[str, list[SweepPoint]] = {}
    for label in run.methods:
        height = entry(run, label, column).estimate
        if height is not None and label in at:
            by_method.setdefault(method_of(label), []).append(SweepPoint(label, at[label], height))
    return [Curve(method, tuple(sorted(points, key=_place))) for method, points in by_method.items()]


def matched(run: FinishedRun, identity: Column, prompt: Column) -> list[MatchedPair]:
    """Per method, its best row whose prompt match is not shown to be below the backbone's.

    "Not shown": the paired 95 % interval of the difference to `text-only` touches zero or lies above it.
    Empty where the run has no `text-only`. The choice is made on the numbers shown, so it flatters every
    method that has more settings to choose from.
    """
    best: dict[str, MatchedPair] = {}
    for label in run.methods:
        difference = paired(run, prompt, label, FLOOR)
        height = entry(run, label, identity).estimate
        if difference is None or height is None or difference.high is None or difference.high < 0:
            continue
        found = MatchedPair(method_of(label), label, height, difference)
        if found.method not in best or best[found.method].identity.mean < height.mean:
            best[found.method] = found
    return [found for method, found in best.items() if method != FLOOR]


def at_matched_prompt(run: FinishedRun) -> str:
    """The table of `matched`, for every identity column and prompt column; empty where nothing was swept."""
    columns = picture_columns(run)
    prompts = [c for c in columns if c.name == "prompt-match"]
    identities = [c for c in columns if c.name == "identity"]
    if not any(SWEPT.fullmatch(label) for label in run.methods):
        return ""
    lines = [
        [prompt.encoder, column.title, found.label, _interval(found.identity), _interval(found.prompt)]
        for prompt in prompts
        for column in identities
        for found in sorted(matched(run, column, prompt), key=lambda m: -m.identity.mean)
    ]
    if not lines:
        return ""
    intro = (
        "Of each method the row with the most identity, among those whose prompt match is not shown to be "
        f"below that of `{FLOOR}`. They are chosen by these numbers, which flatters a method with many."
    )
    header = ["prompt match by", "identity by", "row", "identity", f"prompt match minus {FLOOR}"]
    return "\n\n".join(["## At matched prompt match", intro, table(header, lines)])


def _interval(found: Estimate) -> str:
    return number(found.mean, found.low, found.high)


def _settings(run: FinishedRun, setting: str) -> Mapping[str, Estimate]:
    values = {label: value_of(label, setting) for label in run.methods}
    return {label: Estimate(v, None, None, 0) for label, v in values.items() if v is not None}


def _scores(run: FinishedRun, column: Column) -> Mapping[str, Estimate]:
    found = {label: entry(run, label, column).estimate for label in run.methods}
    return {label: estimate for label, estimate in found.items() if estimate is not None}


def _place(point: SweepPoint) -> float:
    """Along the sweep, so that a curve over another metric joins neighbouring settings."""
    swept = SWEPT.fullmatch(point.label)
    value = value_of(point.label, swept["setting"]) if swept else None
    return point.x.mean if value is None else value
