"""Groups as Ray tasks, on the cluster that `RAY_ADDRESS` names or on one started here.

Every node sees the run folder at the same path, and has this package installed.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.errors import StoreError, SuiteError
from bench.runner.generate import generate_group, record_lost_group
from bench.runs.events import Event
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.torchvision_compat import ensure_torchvision_imports


def generate_by_ray(tasks: Sequence[GroupTask], backbone: Any, folder: RunFolder) -> Iterator[Event]:
    """Events group by group, in the order in which groups end; a worker that dies fails its group alone."""
    try:
        import ray
    except ImportError as error:
        raise SuiteError("--executor ray needs Ray: pip install 'personabench[ray]'") from error

    # Ray speaks of lost workers on stdout, where the table belongs.
    with redirect_stdout(sys.stderr):
        yield from _draw(ray, tasks, backbone, RunFolder(folder.path.resolve()))


def _draw(ray: Any, tasks: Sequence[GroupTask], backbone: Any, folder: RunFolder) -> Iterator[Event]:
    begun_here = not ray.is_initialized()
    if begun_here:
        environment = {"env_vars": {"PYTHONPATH": _path()}}
        ray.init(runtime_env=environment, log_to_driver=False, include_dashboard=False)
    try:
        # A group that killed its worker once would most likely do it again.
        remote = ray.remote(_draw_group).options(max_retries=0, **_needs(backbone))
        spec = None if backbone is None else backbone.spec
        running = {remote.remote(task, spec, folder): task for task in tasks}
        while running:
            (done, *_), _ = ray.wait(list(running))
            yield from _events(ray, done, running.pop(done), folder)
    finally:
        if begun_here:
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


def _needs(backbone: Any) -> dict[str, float]:
    """A GPU for each group where there are GPUs; else as many threads as here, for the same bytes as here."""
    if backbone is None:
        return {"num_cpus": 1}
    if backbone.device.type == "cuda":
        return {"num_cpus": 1, "num_gpus": 1}
    # Ray sets OMP_NUM_THREADS to this number, and torch's sums depend on the number of threads.
    return {"num_cpus": min(sys.modules["torch"].get_num_threads(), os.cpu_count() or 1)}


def _path() -> str:
    """What can be imported here can be imported there: a method of one's own lies in the working folder."""
    return os.pathsep.join(str(Path(place).resolve()) for place in sys.path if Path(place).is_dir())


def _draw_group(task: GroupTask, spec: Any, folder: RunFolder) -> list[Event]:
    return list(generate_group(task, _backbone(spec), folder))


@lru_cache(maxsize=1)
def _backbone(spec: Any) -> Any:
    """One backbone in each worker."""
    from methods.catalog import open_backbone

    ensure_torchvision_imports()

    return None if spec is None else open_backbone(spec)
