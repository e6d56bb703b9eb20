"""Rows that differ in `checkpoint` only use states of one fit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.runs.fingerprint import digest_of
from bench.runs.plan import Cell
from bench.runs.row_settings import CHECKPOINT, row_settings_of
from bench.runs.task import FitState, GroupTask
from methods.errors import MethodError
from methods.interface import Method, SavesCheckpoints


def longest_rows(labels: Iterable[str], settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """For each row, the one of `labels` with the most steps of the same fit: for most rows itself.

    `settings` are the settings of the suite's rows. A row without `checkpoint` has all steps.
    """
    by_fit: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        by_fit[_fit_of(label, settings.get(label, {}))].append(label)
    longest = {fit: max(rows, key=lambda row: _steps(row, settings)) for fit, rows in by_fit.items()}
    return {label: longest[fit] for fit, rows in by_fit.items() for label in rows}


def fits_of(cells: Iterable[Cell], settings: Mapping[str, Mapping[str, Any]]) -> set[tuple[str, str, int]]:
    """The fits that generate these images: row with the most steps, identity, number of the fit."""
    groups = {(cell.method, cell.identity, cell.fit) for cell in cells}
    longest = longest_rows({method for method, _, _ in groups}, settings)
    return {(longest[method], identity, number) for method, identity, number in groups}


def with_states(tasks: Sequence[GroupTask], settings: Mapping[str, Mapping[str, Any]]) -> list[GroupTask]:
    """Give the tasks with missing images the states that their fit has to save."""
    longest = longest_rows((task.group.method for task in tasks), settings)
    by_fit: dict[tuple[str, str, int], list[GroupTask]] = defaultdict(list)
    for task in tasks:
        if task.missing:
            by_fit[_key(task, longest)].append(task)
    states = {
        key: tuple(FitState(one.group.method, one.checkpoint, one.fingerprint_parts) for one in members)
        for key, members in by_fit.items()
        if any(one.checkpoint is not None for one in members)
    }
    return [replace(task, states=states.get(_key(task, longest), ())) for task in tasks]


def check_checkpoint(label: str, checkpoint: int, method: Method) -> None:
    """Raise MethodError where the fit of a row's method has no state after this number of steps."""
    if not isinstance(method, SavesCheckpoints):
        raise MethodError(f"{label}: {method.name} has no checkpoints; leave `checkpoint` out")
    if checkpoint > method.steps:
        raise MethodError(
            f"{label}: checkpoint = {checkpoint}, the fit has steps = {method.steps}; lower checkpoint, or "
            "raise steps"
        )


def _key(task: GroupTask, longest: Mapping[str, str]) -> tuple[str, str, int]:
    return longest[task.group.method], task.group.identity, task.group.fit


def _fit_of(label: str, settings: Mapping[str, Any]) -> str:
    own = {"base": label, **settings}
    return digest_of({key: value for key, value in own.items() if key != CHECKPOINT})


def _steps(label: str, settings: Mapping[str, Mapping[str, Any]]) -> float:
    checkpoint = row_settings_of(label, settings.get(label, {})).checkpoint
    return float("inf") if checkpoint is None else checkpoint
