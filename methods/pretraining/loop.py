"""The training loop: AdamW, warm-up and cosine decay, EMA, checkpoints that resume exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from methods.compute.precision import Precision, attention_of_autocast, autocast
from methods.compute.seeding import seeded_generator
from methods.errors import MethodError
from methods.pretraining.checkpoint import LogEntry, TrainingCheckpoint, TrainingState
from methods.pretraining.distributed import DistributedGroup

Progress = Callable[[int, int, str], None]
"""Called with the steps done, the number of steps, and a line of losses."""

BatchLoss = Callable[[int, torch.Generator], Tensor]
"""The loss of a step's whole batch, sampled with the generator."""

RowLoss = Callable[[int, torch.Generator, slice], Tensor]
"""The mean loss over a slice of a step's batch: all rows are sampled, only the slice is computed."""


LOG_INTERVAL: Final = 50
"""Steps between two rows of the loss curve."""

CHECKPOINT_INTERVAL: Final = 120
"""Seconds between two checkpoints."""


@dataclass(frozen=True)
class Schedule:
    """Length, batch size and learning rate of a training."""

    steps: int
    batch: int
    """Rows per step, over all processes and accumulated pieces together."""
    learning_rate: float
    warm_up: int = 200
    decay_from: float = 0.5
    """Share of the steps after which the learning rate falls along a half cosine."""
    floor: float = 0.02
    """The final learning rate, as a share of the initial one."""
    weight_decay: float = 0.01
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0
    accumulate: int = 1
    """Pieces of a batch that a process computes in sequence before each step, to save memory."""
    gradient_checkpointing: bool = False
    """Compute the network's activations again in the backward pass: less memory, more time."""
    precision: Precision = "auto"
    """Of the forward pass; trainable weights are float32. `auto` is bf16 where the hardware supports it."""

    @property
    def rows_at_once(self) -> int | None:
        """Rows of one forward pass, if batches are computed in pieces; None for a batch of any size."""
        if self.accumulate == 1:
            return None
        return max(1, self.batch // (self.accumulate * DistributedGroup.current().size))

    def rate(self, step: int) -> float:
        """The learning rate at `step` (from 0): linear warm-up, constant, half cosine to `floor`."""
        warm = min(1.0, (step + 1) / max(1, self.warm_up))
        done = step / self.steps
        if done < self.decay_from:
            return self.learning_rate * warm
        angle = math.pi * (done - self.decay_from) / (1 - self.decay_from)
        return self.learning_rate * warm * (self.floor + (1 - self.floor) * (0.5 + 0.5 * math.cos(angle)))


def row_slices(size: int, rows_at_once: int | None) -> list[slice]:
    """Slices of a batch of `size` rows, so that a validation needs no more memory than a training step."""
    step = rows_at_once or size
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


@dataclass(frozen=True)
class PeriodicEvaluation:
    """A measurement at regular intervals of a training, such as the loss on unseen people."""

    every: int
    """Steps between two measurements; there is one more at the end."""
    measure: Callable[[], Mapping[str, float]]
    """Called with the averaged weights in place, in evaluation mode, without gradients."""


def optimize_whole_batches(
    module: nn.Module,
    loss: BatchLoss,
    schedule: Schedule,
    *,
    checkpoint: Path,
    progress: Progress,
    device: torch.device,
    stop_at: int | None = None,
) -> None:
    """As `optimize`, for a loss over the whole batch. Raises MethodError with processes or accumulation."""
    if schedule.accumulate > 1 or DistributedGroup.current().size > 1:
        raise MethodError(f"{checkpoint.stem}: trains on one process and without accumulation")
    optimize(
        module,
        lambda step, generator, rows: loss(step, generator),
        schedule,
        checkpoint=TrainingCheckpoint(checkpoint),
        progress=progress,
        device=device,
        stop_at=stop_at,
    )


def optimize(
    module: nn.Module,
    loss: RowLoss,
    schedule: Schedule,
    *,
    checkpoint: TrainingCheckpoint,
    progress: Progress,
    device: torch.device,
    evaluation: PeriodicEvaluation | None = None,
    stop_at: int | None = None,
) -> list[LogEntry]:
    """Minimise `loss` over the module's trainable parameters, load their EMA, and return the loss curve.

    The generator of a step is seeded by (schedule.seed, step). So the samples depend neither on
    interruptions nor on the number of processes or accumulated pieces. The checkpoint is written every two
    minutes and at the end. A finished training is not repeated. `stop_at` ends early on the same schedule,
    like an interruption. Raises MethodError if the checkpoint's settings differ or the loss is not finite.
    """
    group = DistributedGroup.current()
    pieces = list(group.rows(schedule.batch, schedule.accumulate))
    state = _initial_state(module, schedule, checkpoint, device)
    end = min(schedule.steps, stop_at or schedule.steps)
    saved_at, unfinished = time.monotonic(), state.step < end
    module.train()
    while state.step < end:
        _step(state, loss, pieces, schedule, group, device)
        last = state.step == schedule.steps
        due = evaluation if evaluation and (last or state.step % evaluation.every == 0) else None
        if last or due or state.step == 1 or state.step % LOG_INTERVAL == 0:
            state.curve.append(_log_entry(state, schedule, group, checkpoint.path))
            if due:
                state.curve[-1] |= _evaluate(module, state, due)
            if group.is_main:
                progress(state.step, schedule.steps, _summary(state.curve))
        if group.is_main and time.monotonic() - saved_at > CHECKPOINT_INTERVAL:
            state.save(checkpoint)
            saved_at = time.monotonic()
    if unfinished and group.is_main:
        state.save(checkpoint)
    group.wait()
    state.apply_average()
    module.eval()
    if group.is_main:
        progress(end, schedule.steps, _summary(state.curve))
    return state.curve


def _initial_state(
    module: nn.Module, schedule: Schedule, checkpoint: TrainingCheckpoint, device: torch.device
) -> TrainingState:
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        schedule.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=schedule.weight_decay,
        fused=device.type == "cuda",
    )
    scaler = torch.amp.GradScaler(device.type, enabled=schedule.precision == "fp16")
    state = TrainingState(parameters, optimizer, scaler, loss_sum=torch.zeros((), device=device))
    state.resume(checkpoint)
    return state


def _step(
    state: TrainingState,
    loss: RowLoss,
    pieces: list[slice],
    schedule: Schedule,
    group: DistributedGroup,
    device: torch.device,
) -> None:
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = schedule.rate(state.step)
    for rows in pieces:
        with autocast(device, schedule.precision):
            value = loss(state.step, seeded_generator(schedule.seed, state.step), rows) / len(pieces)
        with attention_of_autocast(device, schedule.precision):
            state.scaler.scale(value).backward()
        state.loss_sum += value.detach()
    group.average_gradients(state.parameters)
    state.scaler.unscale_(state.optimizer)
    torch.nn.utils.clip_grad_norm_(state.parameters, schedule.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    # Not diffusers' EMAModel: it rounds differently, so the shipped weights could not be reproduced.
    decay = min(schedule.ema, (1 + state.step) / (10 + state.step))
    torch._foreach_lerp_(state.average, [p.detach() for p in state.parameters], 1 - decay)
    state.step += 1
    state.steps_since_log += 1


def _log_entry(
    state: TrainingState, schedule: Schedule, group: DistributedGroup, checkpoint: Path
) -> LogEntry:
    """The mean loss since the last entry. The loss is read here only, since reading makes a GPU wait."""
    mean = group.mean(state.loss_sum).item() / state.steps_since_log
    if not math.isfinite(mean):
        raise MethodError(
            f"{checkpoint.name}: the loss is {mean} at step {state.step}; lower the learning rate"
        )
    state.loss_sum.zero_()
    state.steps_since_log = 0
    return {"step": state.step, "loss": mean, "rate": schedule.rate(state.step - 1)}


def _evaluate(module: nn.Module, state: TrainingState, evaluation: PeriodicEvaluation) -> Mapping[str, float]:
    module.eval()
    with torch.no_grad(), state.averaged():
        measured = evaluation.measure()
    module.train()
    return measured


def _summary(curve: list[LogEntry]) -> str:
    """The latest value of each column as text."""
    latest: LogEntry = {name: value for entry in curve for name, value in entry.items()}
    return ", ".join(f"{name} {value:.4f}" for name, value in latest.items() if name not in ("step", "rate"))
