"""LoRA inside its layers' matrices, (W + sBA)x, instead of beside them, Wx + sB(Ax): the same function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from methods.errors import MethodError


@contextmanager
def merged(networks: Sequence[nn.Module], adapter: str, *, learning: bool) -> Iterator[None]:
    """The networks' layers that have LoRA compute with the sum: one product in the place of three.

    Pays where layers are small and many; the sums take memory. They are made anew in every forward pass
    where LoRA is `learning`, with gradients to A and B, else once. The backbone's own matrices are not
    touched. Raises MethodError for a layer whose LoRA is no sum with one matrix.
    """
    layers = [layer for network in networks for layer in network.modules() if isinstance(layer, LoraLayer)]
    changed: list[Any] = []
    try:
        for layer in layers:
            layer.forward = _forward(layer, adapter, learning=learning)
            changed.append(layer)
        yield
    finally:
        for layer in changed:
            del layer.forward


def _forward(layer: Any, adapter: str, *, learning: bool) -> Callable[..., Tensor]:
    base = layer.get_base_layer()
    linear = isinstance(base, nn.Linear)
    if not linear and not (isinstance(base, nn.Conv2d) and base.groups == 1):
        raise MethodError(f"LoRA cannot be merged into {type(base).__name__}; leave `merged` out")
    kept: list[Tensor] = []

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if learning:
            weight = _sum(layer, base, adapter)
        else:
            if not kept or kept[0].device != x.device:
                kept[:] = [_sum(layer, base, adapter)]
            weight = kept[0]
        y: Tensor = F.linear(x, weight, base.bias) if linear else base._conv_forward(x, weight, base.bias)
        return y

    return forward


def _sum(layer: Any, base: Any, adapter: str) -> Tensor:
    """W + s BA, in the type of W."""
    b, a = layer.lora_B[adapter].weight, layer.lora_A[adapter].weight
    # Autocast would round W, B and A before the sum; the sum alone is rounded, where it is used.
    with torch.autocast(base.weight.device.type, enabled=False):
        rows = torch.addmm(
            _rows(base.weight).float(), b.flatten(1).float(), _rows(a).float(), alpha=layer.scaling[adapter]
        ).to(base.weight.dtype)
    if base.weight.dim() == 2:
        return rows
    out, channels, height, width = base.weight.shape
    return rows.view(out, height, width, channels).permute(0, 3, 1, 2)


def _rows(weight: Tensor) -> Tensor:
    """One row per output; a convolution's channels last, as its memory has them."""
    return weight.permute(0, 2, 3, 1).flatten(1) if weight.dim() == 4 else weight
