"""The processes that train one network together, as `accelerate launch` starts them; usually one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env, reduce
from torch import Tensor, nn

from methods.errors import MethodError

BARRIER_TIMEOUT = timedelta(days=2)
"""Longest wait for the main process, which may compute the features of a large dataset."""


@dataclass(frozen=True)
class DistributedGroup:
    """All processes have the same network and sample the same batch; each computes its own rows of it."""

    rank: int
    size: int

    @classmethod
    def current(cls) -> DistributedGroup:
        """The group of this process; after the first call, `cuda` is this process's own GPU.

        Raises MethodError where several processes were started without being connected.
        """
        # Without the flag, processes on a machine without GPU are not connected.
        state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=BARRIER_TIMEOUT)
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started != state.num_processes:
            raise MethodError(
                f"{started} processes were started, but accelerate connects {state.num_processes}; "
                "start them by `accelerate launch`, or set ACCELERATE_USE_CPU=true where there are no GPUs"
            )
        return cls(state.process_index, state.num_processes)

    @property
    def is_main(self) -> bool:
        """True on the main process, which writes files and reports progress."""
        return self.rank == 0

    def rows(self, batch: int, parts: int) -> Iterator[slice]:
        """This process's rows of a batch, in `parts` equal slices; MethodError if they cannot be equal."""
        total = self.size * parts
        if batch % total:
            raise MethodError(
                f"batch {batch} cannot be split evenly over {self.size} processes x {parts} accumulated "
                f"pieces; choose a multiple of {total}"
            )
        piece = batch // total
        for part in range(parts):
            start = (self.rank * parts + part) * piece
            yield slice(start, start + piece)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes, in one all-reduce."""
        if self.size == 1:
            return
        parameters = list(parameters)
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat: Tensor = reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for p, mean in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = mean.view_as(p)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the processes."""
        mean: Tensor = reduce(value, "mean")
        return mean

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the body on the main process before the others, which can then read what it wrote."""
        with PartialState().main_process_first():
            yield

    def wait(self) -> None:
        """Block until all processes have called this."""
        PartialState().wait_for_everyone()
