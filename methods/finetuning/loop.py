"""The loop that fits weights to one subject: schedule, accumulation, precision, clipping."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.optimization import get_scheduler
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.precision import autocast, fast_backward_attention
from methods.errors import MethodError

Rates = Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"]
"""How the learning rate goes over the steps: diffusers' schedules by their own names."""
Optimizer = Literal["adamw", "adamw-8bit"]
MixedPrecision = Literal["no", "fp16", "bf16", "auto"]
"""Of the forward pass, the learning weights staying in single precision; `auto` is bf16 where the hardware
multiplies it natively."""


@dataclass(frozen=True)
class OptimizationConfig:
    """How weights learn, whatever they are."""

    name: str
    """The method's, for its errors."""
    steps: int
    accumulation: int = 1
    """Batches whose mean gradient makes one step."""
    rates: Rates = "constant"
    warm_up: int = 0
    """Steps over which the learning rate rises from 0, for the schedules that have it."""
    cycles: int = 1
    power: float = 1.0
    optimizer: Optimizer = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    max_grad_norm: float | None = 1.0
    """None does not clip."""
    precision: MixedPrecision = "no"


def check_optimizer(name: str, optimizer: Optimizer) -> None:
    """Raise MethodError where the optimizer's package is not installed."""
    if optimizer == "adamw-8bit" and importlib.util.find_spec("bitsandbytes") is None:
        raise MethodError(
            f"{name}: optimizer 'adamw-8bit' needs bitsandbytes, which is not installed; "
            "pip install bitsandbytes, or set optimizer = 'adamw'"
        )


def optimize(
    groups: list[dict[str, Any]],
    loss: Callable[[int], Tensor],
    optimization: OptimizationConfig,
    *,
    backbone: Backbone,
) -> Tensor:
    """Minimise `loss(batch)`, the batches being numbered from 0, over the optimizer's parameter groups.

    Gives each step's loss, (steps,), the mean of its batches. Raises MethodError where a weight is no
    longer finite.
    """
    parameters = [p for group in groups for p in group["params"]]
    optimizer = _optimizer(groups, optimization)
    schedule = get_scheduler(
        optimization.rates,
        optimizer,
        num_warmup_steps=optimization.warm_up,
        num_training_steps=optimization.steps,
        num_cycles=optimization.cycles,
        power=optimization.power,
    )
    # float16's small gradients round to nothing unless the loss is scaled up.
    half = optimization.precision == "fp16" or backbone.dtype == torch.float16
    scaler = torch.amp.GradScaler(backbone.device.type, enabled=half)
    losses = torch.zeros(optimization.steps, device=backbone.device)
    for step in range(optimization.steps):
        for batch in range(step * optimization.accumulation, (step + 1) * optimization.accumulation):
            # Around the backward pass too: checkpointing computes the forward pass again in it.
            with _attention(optimization.precision, backbone.device):
                with _precise(optimization.precision, backbone.device):
                    value = loss(batch) / optimization.accumulation
                scaler.scale(value).backward()
            losses[step] += value.detach()
        if optimization.max_grad_norm is not None:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, optimization.max_grad_norm)
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        # A step whose gradients overflowed was left out, and does not count for the schedule.
        if scaler.get_scale() >= before:
            schedule.step()
        optimizer.zero_grad(set_to_none=True)
    if not all(bool(p.isfinite().all()) for p in parameters):
        raise MethodError(f"{optimization.name}: the weights are no longer finite; lower learning_rate")
    return losses.cpu()


def _optimizer(groups: list[dict[str, Any]], optimization: OptimizationConfig) -> torch.optim.Optimizer:
    check_optimizer(optimization.name, optimization.optimizer)
    if optimization.optimizer == "adamw-8bit":
        eight_bit = importlib.import_module("bitsandbytes").optim.AdamW8bit
        made: torch.optim.Optimizer = eight_bit(groups, betas=optimization.betas, eps=optimization.epsilon)
        return made
    # One kernel for all of the many small matrices.
    return torch.optim.AdamW(groups, betas=optimization.betas, eps=optimization.epsilon, fused=True)


def _attention(precision: MixedPrecision, device: torch.device) -> AbstractContextManager[None]:
    """A CPU's flash kernel is slow to differentiate in half precision, and only there."""
    return nullcontext() if precision == "no" else fast_backward_attention(device)


def _precise(precision: MixedPrecision, device: torch.device) -> AbstractContextManager[Any]:
    if precision == "auto":
        return autocast(device)
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "no")


@contextmanager
def in_training(modules: Sequence[Any], *, checkpointing: bool) -> Iterator[None]:
    """Networks with their dropout at work; handed back in evaluation mode.

    With `checkpointing` they forget activations and compute them anew for the gradient: less memory,
    more time.
    """
    for module in modules:
        module.train()
        if checkpointing:
            _switch(module, "enable")
    try:
        yield
    finally:
        for module in modules:
            if checkpointing:
                _switch(module, "disable")
            module.eval()


def _switch(module: Any, way: Literal["enable", "disable"]) -> None:
    """Checkpointing, by the names it has in diffusers, in newer and in older transformers."""
    for name in (f"{way}_gradient_checkpointing", f"activation_checkpointing_{way}"):
        if hasattr(module, name):
            getattr(module, name)()
            return
    getattr(module, f"gradient_checkpointing_{way}")()


def noised_losses(
    backbone: Backbone, latents: Tensor, said: dict[str, Any], t: Tensor, generator: torch.Generator
) -> Tensor:
    """Squared error of the U-Net's prediction at step t, (B,), for noise from the generator.

    `latents` is (B, C, h, w) in single precision, `said` the U-Net's keyword arguments for the prompts.
    """
    eps = torch.randn(latents.shape, generator=generator).to(backbone.device)
    x_t = backbone.noise.add(latents, eps, t).to(backbone.dtype)
    predicted = backbone.unet(x_t, t, **said, return_dict=False)[0]
    residual: Tensor = predicted.float() - backbone.noise.target(latents, eps, t)
    return residual.square().mean(dim=(1, 2, 3))
