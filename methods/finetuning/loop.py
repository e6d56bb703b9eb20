"""The optimisation loop of fine-tuning: schedule, gradient accumulation, precision, clipping."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.precision import attention_for_training, autocast
from methods.compute.progress_checks import check_losses, check_skipped
from methods.errors import MethodError

LRScheduler = Literal[
    "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"
]
"""Learning-rate schedules by diffusers' names."""
Optimizer = Literal["adamw", "adamw-8bit", "prodigy"]
"""`prodigy` (Mishchenko and Defazio 2023) finds its rate by itself: set `learning_rate = 1`."""
PACKAGES: Final = {"adamw-8bit": "bitsandbytes", "prodigy": "prodigyopt"}
"""Packages of optimisers that are not part of torch."""
MixedPrecision = Literal["no", "fp16", "bf16", "auto"]
"""Precision of the forward pass; trained weights stay in fp32. `auto` is bf16 where the hardware multiplies
it natively."""

CHECK_INTERVAL: Final = 50
"""Steps between two checks that the losses are finite."""


@dataclass(frozen=True)
class OptimizationConfig:
    """Optimiser, schedule and precision, by the names of the methods' settings."""

    name: str
    """The method's name, for error messages."""
    steps: int
    learning_rate: float
    accumulation: int = 1
    """Batches per step; their gradients are averaged."""
    lr_scheduler: LRScheduler = "constant"
    warm_up: int = 0
    """Steps over which the learning rate rises from 0, for the schedules with a warm-up."""
    lr_cycles: int = 1
    lr_power: float = 1.0
    optimizer: Optimizer = "adamw"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    weight_decay: float = 1e-2
    max_grad_norm: float | None = 1.0
    """None disables clipping."""
    gradient_checkpointing: bool = False
    mixed_precision: MixedPrecision = "no"

    @classmethod
    def of(cls, method: Any, **others: Any) -> OptimizationConfig:
        """Copy the method's settings of the same names; `others` are fields that it has no setting for."""
        names = {field.name for field in dataclasses.fields(cls)}
        settings = {field.name for field in dataclasses.fields(method)} & names - {"name"}
        return cls(method.name, **{name: getattr(method, name) for name in settings}, **others)

    def group(self, parameters: Sequence[Tensor], **others: float) -> dict[str, Any]:
        """Return an optimizer's parameter group; `others` replaces `lr` or `weight_decay`."""
        return {"params": parameters, "lr": self.learning_rate, "weight_decay": self.weight_decay, **others}


def check_optimizer(name: str, optimizer: Optimizer) -> None:
    """Raise MethodError where the optimizer's package is not installed."""
    package = PACKAGES.get(optimizer)
    if package is not None and importlib.util.find_spec(package) is None:
        raise MethodError(
            f"{name}: optimizer {optimizer!r} needs {package}, which is not installed; "
            f"pip install {package}, or set optimizer = 'adamw'"
        )


def optimize(
    groups: list[dict[str, Any]],
    loss: Callable[[int], Tensor],
    optimization: OptimizationConfig,
    *,
    backbone: Backbone,
    after_step: Callable[[int], None] | None = None,
    stop_after: int | None = None,
) -> Tensor:
    """Minimise `loss(batch)`, with batch numbers from 0, over the optimizer's parameter groups.

    `after_step` is called with the number of steps so far. `stop_after` ends training early; the learning
    rate still follows the schedule of `optimization.steps`. Returns the mean loss of each step, (steps,).
    Raises MethodError where a loss or, at the end, a weight is not finite, and where fp16 overflowed in so
    many steps that little was learned.
    """
    parameters = [p for group in groups for p in group["params"]]
    optimizer = _optimizer(groups, optimization)
    schedule = _schedule(optimizer, optimization)
    # Without loss scaling, small gradients underflow to zero in fp16.
    half = optimization.mixed_precision == "fp16" or backbone.dtype == torch.float16
    scaler = torch.amp.GradScaler(backbone.device.type, enabled=half)
    steps = optimization.steps if stop_after is None else stop_after
    losses = torch.zeros(steps, device=backbone.device)
    skipped = 0
    for step in range(steps):
        for batch in range(step * optimization.accumulation, (step + 1) * optimization.accumulation):
            losses[step] += _backward(loss, batch, optimization, scaler, backbone.device)
        if optimization.max_grad_norm is not None:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, optimization.max_grad_norm)
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        # The scaler skips a step with overflowing gradients; the schedule skips it as well.
        if scaler.get_scale() >= before:
            schedule.step()
        else:
            skipped += 1
        optimizer.zero_grad(set_to_none=True)
        # Not at every step: reading a loss makes a GPU wait.
        if (step + 1) % CHECK_INTERVAL == 0:
            check_losses(optimization.name, losses[: step + 1])
        if after_step is not None:
            after_step(step + 1)
    check_losses(optimization.name, losses)
    check_skipped(optimization.name, skipped, steps)
    if not all(bool(p.isfinite().all()) for p in parameters):
        raise MethodError(f"{optimization.name}: the weights are no longer finite; lower learning_rate")
    return losses.cpu()


def _backward(
    loss: Callable[[int], Tensor],
    batch: int,
    optimization: OptimizationConfig,
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> Tensor:
    """Add the gradients of a batch's share of its step's loss; returns this share."""
    # The backward pass is included: checkpointing repeats the forward pass in it.
    with _attention_context(optimization.mixed_precision, device):
        with _autocast_context(optimization.mixed_precision, device):
            value = loss(batch) / optimization.accumulation
        scaler.scale(value).backward()
    return value.detach()


def _optimizer(groups: list[dict[str, Any]], optimization: OptimizationConfig) -> torch.optim.Optimizer:
    check_optimizer(optimization.name, optimization.optimizer)
    # torch's default `lr` stays: diffusers' polynomial schedule computes its end value from it.
    settings: dict[str, Any] = {
        "betas": (optimization.adam_beta1, optimization.adam_beta2),
        "eps": optimization.adam_epsilon,
    }
    if optimization.optimizer == "adamw-8bit":
        cls = importlib.import_module("bitsandbytes").optim.AdamW8bit
        optimizer: torch.optim.Optimizer = cls(groups, **settings)
        return optimizer
    if optimization.optimizer == "prodigy":
        # As in diffusers' scripts.
        settings |= {"decouple": True, "use_bias_correction": True, "safeguard_warmup": True}
        prodigy: torch.optim.Optimizer = importlib.import_module("prodigyopt").Prodigy(groups, **settings)
        return prodigy
    # Fused: one kernel for the many small matrices.
    return torch.optim.AdamW(groups, **settings, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, optimization: OptimizationConfig) -> Any:
    from diffusers.optimization import get_scheduler

    return get_scheduler(
        optimization.lr_scheduler,
        optimizer,
        num_warmup_steps=optimization.warm_up,
        num_training_steps=optimization.steps,
        num_cycles=optimization.lr_cycles,
        power=optimization.lr_power,
    )


def _attention_context(precision: MixedPrecision, device: torch.device) -> AbstractContextManager[None]:
    """Replace attention kernels: the CPU's in mixed precision, a GPU's in every precision."""
    if precision == "no" and device.type == "cpu":
        return nullcontext()
    return attention_for_training(device)


def _autocast_context(precision: MixedPrecision, device: torch.device) -> AbstractContextManager[Any]:
    if precision == "auto":
        return autocast(device)
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "no")


@contextmanager
def in_training(modules: Sequence[Any], *, gradient_checkpointing: bool) -> Iterator[None]:
    """Put networks into training mode; they return to evaluation mode on exit.

    With gradient checkpointing, activations are recomputed in the backward pass: less memory, more time.
    """
    for module in modules:
        module.train()
        if gradient_checkpointing:
            _set_checkpointing(module, "enable")
    try:
        yield
    finally:
        for module in modules:
            if gradient_checkpointing:
                _set_checkpointing(module, "disable")
            module.eval()


def _set_checkpointing(module: Any, state: Literal["enable", "disable"]) -> None:
    """Call the method of diffusers, of newer or of older transformers."""
    for name in (f"{state}_gradient_checkpointing", f"activation_checkpointing_{state}"):
        if hasattr(module, name):
            getattr(module, name)()
            return
    getattr(module, f"gradient_checkpointing_{state}")()


def noised_losses(
    backbone: Backbone,
    latents: Tensor,
    conditioning: dict[str, Any],
    t: Tensor,
    generator: torch.Generator,
    *,
    noise_offset: float = 0.0,
) -> Tensor:
    """Return the squared error of the network's prediction at step t, (B,), for noise from the generator.

    `latents` is (B, C, h, w) in fp32, `conditioning` the network's keyword arguments for the prompts.
    `noise_offset` is the deviation of a constant that is added to each channel's noise.
    """
    eps = torch.randn(latents.shape, generator=generator)
    if noise_offset:
        eps = eps + noise_offset * torch.randn(*latents.shape[:2], 1, 1, generator=generator)
    eps = eps.to(backbone.device)
    predicted = backbone.predict(backbone.noise.add(latents, eps, t), t, conditioning)
    residual = predicted - backbone.noise.target(latents, eps, t)
    return residual.square().mean(dim=(1, 2, 3))
