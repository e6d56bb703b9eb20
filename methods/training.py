"""The loop behind every `bench train`: warm-up and cosine decay, EMA, checkpoints that resume exactly."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from methods.attention import quick_to_learn
from methods.interface import MethodError

Progress = Callable[[int, int, str], None]
"""Called with the step reached, the number of steps, and a line of losses."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns."""

    steps: int
    batch: int
    learning_rate: float
    warm_up: int = 200
    decay_from: float = 0.5
    """Share of the steps after which the learning rate falls along a half cosine."""
    floor: float = 0.02
    """The last learning rate, as a share of the first."""
    weight_decay: float = 0.01
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate at `step` (from 0)."""
        warm = min(1.0, (step + 1) / self.warm_up)
        done = step / self.steps
        if done < self.decay_from:
            return self.learning_rate * warm
        angle = math.pi * (done - self.decay_from) / (1 - self.decay_from)
        return self.learning_rate * warm * (self.floor + (1 - self.floor) * (0.5 + 0.5 * math.cos(angle)))


def train(
    module: nn.Module,
    loss: Callable[[int, torch.Generator], Tensor],
    schedule: Schedule,
    *,
    checkpoint: Path,
    progress: Progress,
    device: torch.device,
    stop_at: int | None = None,
) -> None:
    """Minimise `loss(step, generator)` over the module's trainable parameters; the module ends as its EMA.

    The generator of a step is seeded by (schedule.seed, step), so a run resumed from `checkpoint`
    continues on the same draws as one that was never interrupted. The checkpoint is written
    about every two minutes and at the end, beside and renamed; a finished one is not trained again.
    `stop_at` ends earlier on the same schedule, as an interruption would.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, schedule.learning_rate, betas=(0.9, 0.99), weight_decay=schedule.weight_decay
    )
    average = [p.detach().clone() for p in parameters]
    start = _resume(checkpoint, parameters, optimizer, average, schedule)
    before = seconds_spent(checkpoint)
    module.train()
    running, began = 0.0, time.monotonic()
    saved_at = began
    end = min(schedule.steps, stop_at or schedule.steps)
    for step in range(start, end):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        with autocast(device):
            value = loss(step, generator_of(schedule.seed, step))
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, schedule.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        decay = min(schedule.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)
        # The loss is read back only now and then: reading it makes a GPU wait.
        if step % 50 == 0:
            running = value.item() if step == start else 0.8 * running + 0.2 * value.item()
            if not math.isfinite(running):
                raise MethodError(
                    f"{checkpoint.name}: the loss is {running} at step {step}; lower the learning rate"
                )
            progress(step, schedule.steps, f"loss {running:.4f}")
        if time.monotonic() - saved_at > 120:
            spent = before + time.monotonic() - began
            _save(checkpoint, _Reached(step + 1, spent), parameters, optimizer, average)
            saved_at = time.monotonic()
    if start < end:
        spent = before + time.monotonic() - began
        _save(checkpoint, _Reached(end, spent), parameters, optimizer, average)
    with torch.no_grad():
        for p, mean in zip(parameters, average, strict=True):
            p.copy_(mean)
    module.eval()
    progress(end, schedule.steps, f"loss {running:.4f}")


def generator_of(*key: int) -> torch.Generator:
    """A CPU generator seeded by the whole key; equal keys draw equal numbers."""
    state = 0
    for part in key:
        state = (state * 1_000_003 + part + 1) % (2**63 - 1)
    return torch.Generator().manual_seed(state)


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere; attention by the fastest way."""
    native = device.type == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    with torch.autocast(device.type, torch.bfloat16, enabled=native), quick_to_learn(device):
        yield


def save_beside(path: Path, content: object) -> None:
    """`torch.save` that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(content, beside)
    beside.replace(path)


def seconds_spent(checkpoint: Path) -> float:
    """How long the training behind a checkpoint has taken in all, over every time it was resumed."""
    if not checkpoint.exists():
        return 0.0
    return float(torch.load(checkpoint, weights_only=True, map_location="cpu")["seconds"])


@dataclass(frozen=True)
class _Reached:
    step: int
    seconds: float


def _save(
    checkpoint: Path,
    reached: _Reached,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: list[Tensor],
) -> None:
    save_beside(
        checkpoint,
        {
            "step": reached.step,
            "seconds": reached.seconds,
            "parameters": parameters,
            "optimizer": optimizer.state_dict(),
            "average": average,
        },
    )


def _resume(
    checkpoint: Path,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: list[Tensor],
    schedule: Schedule,
) -> int:
    if not checkpoint.exists():
        return 0
    stored = torch.load(checkpoint, weights_only=True, map_location="cpu")
    shapes = [tuple(p.shape) for p in stored["parameters"]]
    if shapes != [tuple(p.shape) for p in parameters]:
        raise MethodError(f"{checkpoint}: made for another network; delete it or choose another --out")
    with torch.no_grad():
        for p, value in zip(parameters, stored["parameters"], strict=True):
            p.copy_(value)
        for mean, value in zip(average, stored["average"], strict=True):
            mean.copy_(value)
    optimizer.load_state_dict(stored["optimizer"])
    return min(int(stored["step"]), schedule.steps)
