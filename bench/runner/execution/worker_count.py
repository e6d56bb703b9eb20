"""How many processes generate images by default."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from bench.runner.backbone_source import BackboneSource
from methods.backbone_access import gpu_count
from methods.interface import Method

CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
WORKER_BYTES: Final = 1.5 * 2**30
"""Memory of a worker without its backbone: libraries and images."""


def default_workers(backbone: BackboneSource | None, methods: Iterable[Method] = ()) -> int:
    """One worker per GPU; on a CPU one per core, as far as the free memory goes.

    A method may have networks of its own. Without a backbone, only the method knows whether they use the
    GPU, which several workers would share: then one worker.
    """
    if backbone is not None and backbone.device == "cuda":
        return gpu_count()
    own = own_bytes(methods)
    if backbone is None and own and gpu_count():
        return 1
    files = own + (backbone.file_bytes if backbone is not None else 0)
    # Files may be in half precision.
    fitting = psutil.virtual_memory().available / (WORKER_BYTES + 2 * files)
    return max(1, min(cores(), int(fitting)))


def own_bytes(methods: Iterable[Method]) -> int:
    """Size of the weights of the method that has most; images made elsewhere are no weights."""
    computing = [method for method in methods if getattr(method, "has_costs", True)]
    files = [[path for path in method.weights if path.is_file()] for method in computing]
    return max((sum(path.stat().st_size for path in own) for own in files), default=0)


def cores() -> int:
    """The number of cores that this process may use."""
    try:
        count = len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS has no affinity
        count = os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text(encoding="utf-8").split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group, or `max`
        return count
