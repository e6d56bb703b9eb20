"""Executors: generate groups in this process or as parallel Ray tasks. Both write the same files."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from bench.errors import SuiteError, nearest
from bench.runner.generate import generate_group
from bench.runs.events import Event
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask

Executor = Callable[[Sequence[GroupTask], Any, RunFolder], Iterator[Event]]
"""Generates the groups into the folder; the backbone is None if the suite opens none."""


def local(tasks: Sequence[GroupTask], backbone: Any, folder: RunFolder) -> Iterator[Event]:
    """Generate one group after another, with the open backbone."""
    # Exclude libraries and backbone from garbage collection: scanning them before every group is slow.
    gc.collect()
    gc.freeze()
    try:
        for task in tasks:
            yield from generate_group(task, backbone, folder)
    finally:
        gc.unfreeze()


def ray(tasks: Sequence[GroupTask], backbone: Any, folder: RunFolder) -> Iterator[Event]:
    """Generate groups as Ray tasks; each worker opens its own backbone."""
    from bench.runner.ray_executor import generate_by_ray

    return generate_by_ray(tasks, backbone, folder)


EXECUTORS: Final[Mapping[str, Executor]] = {"local": local, "ray": ray}


def executor(name: str) -> Executor:
    """The executor called `name`."""
    if name not in EXECUTORS:
        raise SuiteError(f"unknown executor {name!r}; {nearest(name, EXECUTORS)}")
    return EXECUTORS[name]
