"""Executors: generate groups in processes of this machine, or as Ray tasks. All write the same files."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from bench.errors import SuiteError, nearest
from bench.runner.backbone_source import BackboneSource, opened
from bench.runner.execution.worker_pool import WorkerPool
from bench.runner.generate import generate_group
from bench.runs.events import Event
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask

Executor = Callable[[Sequence[GroupTask], BackboneSource | None, RunFolder, int], Iterator[Event]]
"""Generates the groups into the folder; the last argument is the number of workers."""


def local(
    tasks: Sequence[GroupTask], backbone: BackboneSource | None, folder: RunFolder, workers: int
) -> Iterator[Event]:
    """Generate in worker processes, or in this process if one worker is enough."""
    todo = [task for task in tasks if task.missing]
    for task in tasks:
        if not task.missing:
            yield from generate_group(task, None, folder)
    count = min(len(todo), workers)
    if count > 1:
        yield from WorkerPool(backbone, folder, count).generate(todo)
    elif todo:
        yield from _in_this_process(todo, backbone, folder)


def _in_this_process(
    tasks: Sequence[GroupTask], backbone: BackboneSource | None, folder: RunFolder
) -> Iterator[Event]:
    """Generate one group after another, with one backbone."""
    networks = opened(backbone)
    # Exclude libraries and backbone from garbage collection: scanning them before every group is slow.
    gc.collect()
    gc.freeze()
    try:
        for task in tasks:
            yield from generate_group(task, networks, folder)
    finally:
        gc.unfreeze()


def ray(
    tasks: Sequence[GroupTask], backbone: BackboneSource | None, folder: RunFolder, workers: int
) -> Iterator[Event]:
    """Generate groups as Ray tasks; Ray chooses the number of workers, and each loads its own backbone."""
    from bench.runner.execution.ray_executor import generate_by_ray

    return generate_by_ray(tasks, backbone, folder)


EXECUTORS: Final[Mapping[str, Executor]] = {"local": local, "ray": ray}


def executor(name: str, workers: int | None) -> Executor:
    """The executor called `name`. Raises SuiteError for an unknown one, or one that refuses `workers`."""
    if name not in EXECUTORS:
        raise SuiteError(f"unknown executor {name!r}; {nearest(name, EXECUTORS)}")
    if name == "ray" and workers is not None:
        raise SuiteError(f"--workers {workers}: Ray chooses its number of workers; leave --workers out")
    return EXECUTORS[name]
