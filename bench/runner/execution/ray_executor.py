"""Generate groups as Ray tasks."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.errors import StoreError
from bench.ray_cluster import ray_cluster
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
    folder = RunFolder(folder.path.resolve())
    with ray_cluster() as ray:
        # One retry: a machine may be lost, but a group that kills its worker must not do so for ever.
        remote = ray.remote(_generate_group).options(max_retries=1, **_resources(backbone))
        running = {remote.remote(task, backbone, folder): task for task in tasks}
        while running:
            (done, *_), _ = ray.wait(list(running))
            yield from _events(ray, done, running.pop(done), folder)


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


def _generate_group(task: GroupTask, backbone: BackboneSource | None, folder: RunFolder) -> list[Event]:
    return list(generate_group(task, opened(backbone), folder))
