"""The loop behind every `bench train`: warm-up and cosine decay, EMA, checkpoints that resume exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from methods.compute.precision import Precision, autocast
from methods.compute.seeding import generator_of
from methods.errors import MethodError
from methods.pretraining.checkpoint import LogEntry, TrainingCheckpoint, TrainingState
from methods.pretraining.distributed import DistributedGroup

Progress = Callable[[int, int, str], None]
"""Called with the step reached, the number of steps, and a line of losses."""

Loss = Callable[[int, torch.Generator], Tensor]
"""The loss of a step's whole batch, drawn with the generator."""

RowLoss = Callable[[int, torch.Generator, slice], Tensor]
"""The mean loss over some rows of a step's batch: all rows are drawn, the named ones are worked on."""


TOLD: Final = 50
"""Steps between two points of the curve."""

SAVED: Final = 120
"""Seconds between two checkpoints."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network learns."""

    steps: int
    batch: int
    """Rows a step, over all processes and accumulated pieces together."""
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
    accumulate: int = 1
    """Pieces that a process works on one after the other before each step; for memory."""
    precision: Precision = "auto"
    """Of the forward pass; weights that learn are float32. `auto` is bf16 where the hardware has it."""

    def rate(self, step: int) -> float:
        """The learning rate at `step` (from 0)."""
        warm = min(1.0, (step + 1) / self.warm_up)
        done = step / self.steps
        if done < self.decay_from:
            return self.learning_rate * warm
        angle = math.pi * (done - self.decay_from) / (1 - self.decay_from)
        return self.learning_rate * warm * (self.floor + (1 - self.floor) * (0.5 + 0.5 * math.cos(angle)))


@dataclass(frozen=True)
class PeriodicEvaluation:
    """Something to measure now and then while the network learns, such as the loss on unseen people."""

    every: int
    """Steps; also measured at the end."""
    measure: Callable[[], Mapping[str, float]]
    """Called with the network as its average, in evaluation mode, without gradients."""


def train(
    module: nn.Module,
    loss: Loss,
    schedule: Schedule,
    *,
    checkpoint: Path,
    progress: Progress,
    device: torch.device,
    stop_at: int | None = None,
) -> None:
    """As `minimise`, for a loss that needs its whole batch at once, on one process."""
    if schedule.accumulate > 1 or DistributedGroup.here().size > 1:
        raise MethodError(f"{checkpoint.stem}: trains on one process and without accumulation")
    minimise(
        module,
        lambda step, generator, rows: loss(step, generator),
        schedule,
        checkpoint=TrainingCheckpoint(checkpoint),
        progress=progress,
        device=device,
        stop_at=stop_at,
    )


def minimise(
    module: nn.Module,
    loss: RowLoss,
    schedule: Schedule,
    *,
    checkpoint: TrainingCheckpoint,
    progress: Progress,
    device: torch.device,
    watch: PeriodicEvaluation | None = None,
    stop_at: int | None = None,
) -> list[LogEntry]:
    """Minimise `loss` over the module's trainable parameters; the module ends as its EMA. Returns the curve.

    The generator of a step is seeded by (schedule.seed, step), so neither an interruption nor the number
    of processes or of accumulated pieces changes what is drawn. The checkpoint is written about every two
    minutes and at the end; a finished one is not trained again, and one whose `about` differs is refused.
    `stop_at` ends earlier on the same schedule, as an interruption would.
    """
    team = DistributedGroup.here()
    pieces = list(team.rows(schedule.batch, schedule.accumulate))
    state = _begin(module, schedule, checkpoint, device)
    end = min(schedule.steps, stop_at or schedule.steps)
    saved_at, moved = time.monotonic(), state.step < end
    module.train()
    while state.step < end:
        _step(state, loss, pieces, schedule, team, device)
        whole = state.step == schedule.steps
        if whole or state.step == 1 or state.step % TOLD == 0 or (watch and state.step % watch.every == 0):
            state.curve.append(_point(state, schedule, team, checkpoint.path))
            if watch and (whole or state.step % watch.every == 0):
                state.curve[-1] |= _measured(module, state, watch)
            if team.leads:
                progress(state.step, schedule.steps, _told(state.curve))
        if team.leads and time.monotonic() - saved_at > SAVED:
            state.save(checkpoint)
            saved_at = time.monotonic()
    if moved and team.leads:
        state.save(checkpoint)
    team.wait()
    state.settle()
    module.eval()
    if team.leads:
        progress(end, schedule.steps, _told(state.curve))
    return state.curve


def _begin(
    module: nn.Module, schedule: Schedule, checkpoint: TrainingCheckpoint, device: torch.device
) -> TrainingState:
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, schedule.learning_rate, betas=(0.9, 0.99), weight_decay=schedule.weight_decay
    )
    scaler = torch.amp.GradScaler(device.type, enabled=schedule.precision == "fp16")
    state = TrainingState(parameters, optimizer, scaler, total=torch.zeros((), device=device))
    state.resume(checkpoint)
    return state


def _step(
    state: TrainingState,
    loss: RowLoss,
    pieces: list[slice],
    schedule: Schedule,
    team: DistributedGroup,
    device: torch.device,
) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = schedule.rate(state.step)
    for rows in pieces:
        with autocast(device, schedule.precision):
            value = loss(state.step, generator_of(schedule.seed, state.step), rows) / len(pieces)
        state.scaler.scale(value).backward()
        state.total += value.detach()
    team.average_gradients(state.parameters)
    state.scaler.unscale_(state.optimizer)
    torch.nn.utils.clip_grad_norm_(state.parameters, schedule.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    decay = min(schedule.ema, (1 + state.step) / (10 + state.step))
    torch._foreach_lerp_(state.average, [p.detach() for p in state.parameters], 1 - decay)
    state.step += 1
    state.counted += 1


def _point(state: TrainingState, schedule: Schedule, team: DistributedGroup, checkpoint: Path) -> LogEntry:
    """The mean loss since the last point. Read back only here: reading makes a GPU wait."""
    mean = team.mean(state.total).item() / state.counted
    if not math.isfinite(mean):
        raise MethodError(
            f"{checkpoint.name}: the loss is {mean} at step {state.step}; lower the learning rate"
        )
    state.total.zero_()
    state.counted = 0
    return {"step": state.step, "loss": mean, "rate": schedule.rate(state.step - 1)}


def _measured(module: nn.Module, state: TrainingState, watch: PeriodicEvaluation) -> Mapping[str, float]:
    module.eval()
    with torch.no_grad(), state.averaged():
        measured = watch.measure()
    module.train()
    return measured


def _told(curve: list[LogEntry]) -> str:
    """The last losses in words, and the last of what was measured."""
    last: LogEntry = {name: value for point in curve for name, value in point.items()}
    return ", ".join(f"{name} {value:.4f}" for name, value in last.items() if name not in ("step", "rate"))
