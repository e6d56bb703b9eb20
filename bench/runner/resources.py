"""What a piece of work cost: seconds on the clock and the peak of memory."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psutil

INTERVAL: Final = 0.02
"""Seconds between two looks at the resident size."""
MEGABYTE: Final = 2**20


@dataclass
class Cost:
    """Filled when the measured block ends."""

    seconds: float = 0.0
    memory_mb: float = 0.0
    """Peak resident size of the whole process, backbone included."""
    gpu_mb: float | None = None
    """Peak of what torch held on the GPU; None without one."""

    @property
    def record(self) -> dict[str, float | None]:
        """For a sidecar."""
        return {"seconds": self.seconds, "memory_mb": self.memory_mb, "gpu_mb": self.gpu_mb}


@contextmanager
def measured() -> Iterator[Cost]:
    """Time the block alone, and sample the process's resident size while it runs."""
    cost = Cost()
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()
    with _sampled() as peak:
        _wait(cuda)
        start = time.perf_counter()
        try:
            yield cost
            _wait(cuda)
        finally:
            cost.seconds = time.perf_counter() - start
    cost.memory_mb = peak[0] / MEGABYTE
    if cuda is not None:
        cost.gpu_mb = cuda.max_memory_allocated() / MEGABYTE


@contextmanager
def _sampled() -> Iterator[list[int]]:
    process = psutil.Process()
    peak = [process.memory_info().rss]
    done = threading.Event()

    def look() -> None:
        while not done.wait(INTERVAL):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=look, daemon=True, name="memory sampler")
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak[0] = max(peak[0], process.memory_info().rss)


def _cuda() -> Any:
    """torch.cuda where a method has brought torch in and uses a GPU; this room imports no torch."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _wait(cuda: Any) -> None:
    if cuda is not None:
        cuda.synchronize()
