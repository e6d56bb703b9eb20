"""Fit one group, unless its fit exists; a fit may save states of several rows."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.atomic_io import (
    PARTIAL,
    folder_digest,
    fresh_folder,
    read_json,
    remove_file,
    sync_folder,
    write_json,
)
from bench.runner.resources import measured
from bench.runs.events import Fitted
from bench.runs.plan import fit_seed
from bench.runs.run_folder import RunFolder
from bench.runs.task import FitState, GroupTask
from methods.interface import Checkpoints, Method, SavesCheckpoints


def unchanged(backbone: Any) -> AbstractContextManager[None]:
    """Check at the end of the block that the backbone is unchanged."""
    return nullcontext() if backbone is None else backbone.clean()


def known_costs(costs: Mapping[str, float | None], method: Method) -> dict[str, float | None]:
    """The costs; None for a method whose images were made elsewhere."""
    known = getattr(method, "has_costs", True)
    return {name: value if known else None for name, value in costs.items()}


def fit_group(task: GroupTask, backbone: Any, folder: RunFolder) -> Fitted | None:
    """Fit, unless a fit with the same fingerprint exists; then return None."""
    own = FitState(task.group.method, task.checkpoint, task.fingerprint_parts)
    with _alone(task, folder):
        if _exists(own, task, folder):
            return None
        missing = [s for s in task.states if s.row != own.row and not _exists(s, task, folder)]
        return _fit([own, *missing], task, backbone, folder)


@contextmanager
def _alone(task: GroupTask, folder: RunFolder) -> Iterator[None]:
    """Exclude other processes that would make the same fit for another row."""
    if not task.states:
        yield
        return
    place = folder.fit(task.states[0].row, task.group.identity, task.group.fit)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock{PARTIAL}")):
        yield


def _exists(state: FitState, task: GroupTask, folder: RunFolder) -> bool:
    """Whether the state is in its folder; with `overwrite`, whether another row of this run wrote it."""
    group = task.group
    sidecar = folder.fit_sidecar(state.row, group.identity, group.fit)
    if task.overwrite and not (task.states and read_json(sidecar).get("session") == task.session):
        return False
    return has_fit(folder.fit(state.row, group.identity, group.fit), sidecar, _fingerprint(state, task))


def _fingerprint(state: FitState, task: GroupTask) -> str:
    return state.fingerprint_parts.fit_fingerprint(_seed(task))


def _seed(task: GroupTask) -> int:
    return fit_seed(task.run_seed, task.group.identity, task.group.fit)


def has_fit(folder: Path, sidecar: Path, fingerprint: str) -> bool:
    """Whether the folder contains the undamaged fit of this fingerprint, as recorded in its sidecar."""
    record = read_json(sidecar)
    if not folder.is_dir() or record.get("fingerprint") != fingerprint:
        return False
    try:
        return record.get("content") == folder_digest(folder)
    except OSError:
        return False


def _fit(states: Sequence[FitState], task: GroupTask, backbone: Any, folder: RunFolder) -> Fitted:
    """Write each state and the record that vouches for it; a record's seconds end with its state."""
    group, method = task.group, task.method
    targets = [folder.fit(state.row, group.identity, group.fit) for state in states]
    sidecars = [folder.fit_sidecar(state.row, group.identity, group.fit) for state in states]
    for sidecar in sidecars:
        remove_file(sidecar)
    with ExitStack() as folders:
        into = [folders.enter_context(fresh_folder(target)) for target in targets]
        with unchanged(backbone), measured() as cost:
            seconds = _write_states(list(zip(states, into, strict=True)), task, backbone)
    # The folders are on disk when the records are written.
    for state, target, sidecar in zip(states, targets, sidecars, strict=True):
        record = {"fingerprint": _fingerprint(state, task), "content": folder_digest(target)}
        costs = {**cost.record, "seconds": seconds.get(state.row, cost.seconds), "bytes": _size(target)}
        write_json(sidecar, {**record, "session": task.session, **known_costs(costs, method)})
        sync_folder(sidecar.parent)
    longest = max(states, key=lambda state: state.checkpoint or float("inf"))
    return Fitted(longest.row, group.identity, cost.seconds)


def _write_states(
    places: Sequence[tuple[FitState, Path]], task: GroupTask, backbone: Any
) -> dict[str, float]:
    """Fit; return the seconds until a state was complete, by row, for all but those with the most steps."""
    method, subject, seed = task.method, task.who.subject, _seed(task)
    if not task.states:
        method.fit(subject, places[0][1], backbone=backbone, seed=seed)
        return {}
    assert isinstance(method, SavesCheckpoints)
    steps = {state.row: state.checkpoint or method.steps for state, _ in places}
    folders = {steps[state.row]: place for state, place in places}
    seconds: dict[int, float] = {}
    start = time.perf_counter()

    def saved(count: int) -> None:
        seconds[count] = time.perf_counter() - start

    checkpoints = Checkpoints(folders, saved)
    method.fit_checkpoints(subject, checkpoints, backbone=backbone, seed=seed)
    for state, place in places:
        if folders[steps[state.row]] != place:
            shutil.copytree(folders[steps[state.row]], place, dirs_exist_ok=True)
    return {row: seconds[count] for row, count in steps.items() if count < checkpoints.last}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
