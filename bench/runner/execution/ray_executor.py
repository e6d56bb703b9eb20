"""Generate groups as Ray tasks, on the cluster at `RAY_ADDRESS` or on a local one.

Every node needs this package, and the run folder at the same path.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from bench.errors import StoreError, SuiteError
from bench.runner.backbone_source import BackboneSource, opened
from bench.runner.generate import generate_group, record_lost_group
from bench.runs.events import Event
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask


def generate_by_ray(
    tasks: Sequence[GroupTask], backbone: BackboneSource | None, folder: RunFolder
) -> Iterator[Event]:
    """Generate the groups and yield their events in the order of completion.

    The group of a lost worker is tried once more; then it fails alone. Raises SuiteError if Ray is not
    installed.
    """
    try:
        import ray
    except ImportError as error:
        raise SuiteError("--executor ray needs Ray: pip install 'personabench[ray]'") from error

    # Ray reports lost workers on stdout, which is reserved for the table.
    with redirect_stdout(sys.stderr):
        yield from _generate_all(ray, tasks, backbone, RunFolder(folder.path.resolve()))


def _generate_all(
    ray: Any, tasks: Sequence[GroupTask], backbone: BackboneSource | None, folder: RunFolder
) -> Iterator[Event]:
    started_here = not ray.is_initialized()
    if started_here:
        environment = {"env_vars": {"PYTHONPATH": _python_path()}}
        ray.init(runtime_env=environment, log_to_driver=False, include_dashboard=False)
    try:
        # One retry: a machine may be lost, but a group that kills its worker must not do so for ever.
        remote = ray.remote(_generate_group).options(max_retries=1, **_resources(backbone))
        running = {remote.remote(task, backbone, folder): task for task in tasks}
        while running:
            (done, *_), _ = ray.wait(list(running))
            yield from _events(ray, done, running.pop(done), folder)
    finally:
        if started_here:
            ray.shutdown()


def _events(ray: Any, done: Any, task: GroupTask, folder: RunFolder) -> list[Event]:
    try:
        events: list[Event] = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, StoreError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        reason = f"the Ray worker was lost ({type(error).__name__}); run again, or with --executor local"
        return list(record_lost_group(task, reason, folder))
    return events


def _resources(backbone: BackboneSource | None) -> dict[str, float]:
    """Resources per group: a GPU for a CUDA backbone, otherwise one core, as the local executor."""
    on_gpu = backbone is not None and backbone.device == "cuda"
    return {"num_cpus": 1, "num_gpus": 1} if on_gpu else {"num_cpus": 1}


def _python_path() -> str:
    """This process's import path, because a custom method is often a file in the working folder."""
    return os.pathsep.join(str(Path(folder).resolve()) for folder in sys.path if Path(folder).is_dir())


def _generate_group(task: GroupTask, backbone: BackboneSource | None, folder: RunFolder) -> list[Event]:
    return list(generate_group(task, opened(backbone), folder))
