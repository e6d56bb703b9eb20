"""Measure wall-clock seconds and peak memory of a block."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psutil

INTERVAL: Final = 0.02
"""Seconds between samples of the resident size."""
MEGABYTE: Final = 2**20


@dataclass
class Cost:
    """Cost of a measured block; complete when the block has ended."""

    seconds: float = 0.0
    memory_mb: float = 0.0
    """Peak resident size of the whole process, backbone included, in MiB."""
    gpu_mb: float | None = None
    """Peak memory allocated by torch on the GPU, in MiB; None without a GPU."""

    @property
    def record(self) -> dict[str, float | None]:
        """The costs as JSON values."""
        return {"seconds": self.seconds, "memory_mb": self.memory_mb, "gpu_mb": self.gpu_mb}


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block, also if it raises. Only the block is timed, with the GPU synchronised."""
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

    def sample() -> None:
        while not done.wait(INTERVAL):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=sample, daemon=True, name="memory sampler")
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak[0] = max(peak[0], process.memory_info().rss)


def _cuda() -> Any:
    """torch.cuda if a method has imported torch and uses a GPU; `bench` itself must not import torch."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _wait(cuda: Any) -> None:
    if cuda is not None:
        cuda.synchronize()
