"""Training loop of the evaluation networks: warm-up, cosine decay, exact resumption from checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from metrics.atomic_write import atomic_write
from metrics.interface import MetricError

Progress = Callable[[int, int, str], None]
"""Called with the current step, the number of steps, and a line with the loss."""


@dataclass(frozen=True)
class Schedule:
    """Length, batch size and learning rate of a training run."""

    steps: int
    batch: int = 128
    learning_rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 0.05
    seed: int = 0
    checkpoint_interval: float = 60.0
    """Seconds between checkpoints."""

    def learning_rate_at(self, step: int) -> float:
        """The learning rate at `step` (from 0): linear warm-up, then half a cosine down to 0."""
        warm = min(1.0, (step + 1) / self.warm_up)
        return self.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / self.steps))


def train(
    module: nn.Module,
    loss: Callable[[int, torch.Generator], Tensor],
    schedule: Schedule,
    *,
    checkpoint: Path,
    device: torch.device,
    progress: Progress,
) -> None:
    """Minimise `loss(step, generator)`; the module ends trained and in evaluation mode.

    The generator depends on (schedule.seed, step) alone, so a run resumed from `checkpoint` uses the same
    random numbers as an uninterrupted one. The checkpoint is written atomically, at intervals and at the end.
    Raises MetricError if the loss is not finite, or the checkpoint is of another training.
    """
    optimizer = torch.optim.AdamW(
        module.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    start = _resume(checkpoint, module, optimizer, schedule)
    module.train()
    saved_at, line = time.monotonic(), ""
    for step in range(start, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate_at(step)
        generator = torch.Generator().manual_seed(schedule.seed * 1_000_003 + step)
        # Dropout uses the global generator of its device: seed that one, too.
        torch.manual_seed(schedule.seed * 1_000_003 + step)
        value = loss(step, generator)
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0:
            if not math.isfinite(value.item()):
                raise MetricError(f"{checkpoint.name}: the loss is {value.item()} at step {step}")
            line = f"loss {value.item():.4f}"
            progress(step, schedule.steps, line)
        if time.monotonic() - saved_at >= schedule.checkpoint_interval:
            _save(checkpoint, step + 1, module, optimizer, schedule)
            saved_at = time.monotonic()
    if start < schedule.steps:
        _save(checkpoint, schedule.steps, module, optimizer, schedule)
    module.eval()
    progress(schedule.steps, schedule.steps, line)


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_native_bf16(device))


def has_native_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively.

    CUDA devices before Ampere only emulate it, which is slower than float32. The condition is the same as in
    `methods.compute.precision`, and repeated because metrics and methods never import each other.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _save(
    checkpoint: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule
) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "step": step,
        "of": schedule.steps,
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic_write(checkpoint) as temporary:
        torch.save(state, temporary)


def _resume(checkpoint: Path, module: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule) -> int:
    if not checkpoint.exists():
        return 0
    stored = torch.load(checkpoint, weights_only=True, map_location="cpu")
    if stored["of"] != schedule.steps:
        raise MetricError(
            f"{checkpoint}: of a training of {stored['of']} steps, expected {schedule.steps}; delete it"
        )
    try:
        module.load_state_dict(stored["module"])
    except RuntimeError as error:
        raise MetricError(f"{checkpoint}: of another network or other people; delete it") from error
    optimizer.load_state_dict(stored["optimizer"])
    return int(stored["step"])
