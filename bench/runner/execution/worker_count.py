"""How many processes generate images by default."""

import os
from pathlib import Path
from typing import Final

import psutil

from bench.runner.backbone_source import BackboneSource
from methods.catalog import gpu_count

CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
WORKER_BYTES: Final = 1.5 * 2**30
"""Memory of a worker without its backbone: libraries and images."""


def default_workers(backbone: BackboneSource | None) -> int:
    """One worker per GPU; on a CPU one per core, as far as the free memory goes."""
    if backbone is not None and backbone.device == "cuda":
        return gpu_count()
    loaded = 2 * backbone.file_bytes if backbone is not None else 0  # files may be in half precision
    fitting = psutil.virtual_memory().available / (WORKER_BYTES + loaded)
    return max(1, min(cores(), int(fitting)))


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
