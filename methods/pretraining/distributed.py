"""The processes that train one network together, as `accelerate launch` starts them; mostly just one."""

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

PATIENCE = timedelta(days=2)
"""How long the others wait for the first; it may have a large data set's features to compute."""


@dataclass(frozen=True)
class DistributedGroup:
    """Every process holds the same network and draws the same batch, and works on rows of its own."""

    rank: int
    size: int

    @classmethod
    def here(cls) -> DistributedGroup:
        """The team of this process; from the first call on, `cuda` means this process's own GPU.

        Raises MethodError where processes were started together and do not know of each other.
        """
        # Without the flag, processes on a machine without GPU stay apart.
        state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE)
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started != state.num_processes:
            raise MethodError(
                f"{started} processes were started, and accelerate joins {state.num_processes}; "
                "start them by `accelerate launch`, or set ACCELERATE_USE_CPU=true where there are no GPUs"
            )
        return cls(state.process_index, state.num_processes)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def rows(self, batch: int, parts: int) -> Iterator[slice]:
        """This process's rows of a batch, in `parts` equal pieces; raises MethodError where none exist."""
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
        """Replace each gradient by its mean over the processes, in one message."""
        if self.size == 1:
            return
        parameters = list(parameters)
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat: Tensor = reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for p, mean in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = mean.view_as(p)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the processes."""
        whole: Tensor = reduce(value, "mean")
        return whole

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The first process goes through the body before the others, which then find what it wrote."""
        with PartialState().main_process_first():
            yield

    def wait(self) -> None:
        """Until all are here."""
        PartialState().wait_for_everyone()
