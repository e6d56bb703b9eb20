"""Where groups are drawn: in this process, or as Ray tasks side by side. The files are the same."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from bench.errors import SuiteError, nearest
from bench.runner.generate import generate_group
from bench.runs.events import Event
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask

Executor = Callable[[Sequence[GroupTask], Any, RunFolder], Iterator[Event]]
"""Draws the groups by the open backbone (None where the suite has none) into the folder."""


def local(tasks: Sequence[GroupTask], backbone: Any, folder: RunFolder) -> Iterator[Event]:
    """One group after another, on the backbone that is open."""
    # Libraries and backbone are no garbage: looking them through before every group takes long.
    gc.collect()
    gc.freeze()
    try:
        for task in tasks:
            yield from generate_group(task, backbone, folder)
    finally:
        gc.unfreeze()


def ray(tasks: Sequence[GroupTask], backbone: Any, folder: RunFolder) -> Iterator[Event]:
    """Groups as Ray tasks, each worker with a backbone of its own."""
    from bench.runner.ray_executor import generate_by_ray

    return generate_by_ray(tasks, backbone, folder)


EXECUTORS: Final[Mapping[str, Executor]] = {"local": local, "ray": ray}


def executor(name: str) -> Executor:
    """The executor called `name`."""
    if name not in EXECUTORS:
        raise SuiteError(f"unknown executor {name!r}; {nearest(name, EXECUTORS)}")
    return EXECUTORS[name]
