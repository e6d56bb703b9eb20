"""Resolve `auto`, `cpu` and `cuda` to a torch device; copy tensors there."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.errors import MethodError


def device_name() -> str:
    """Return the name of the first CUDA device."""
    return torch.cuda.get_device_name()


def device_count() -> int:
    """Return the number of CUDA devices."""
    return torch.cuda.device_count()


def resolve_device(name: str) -> torch.device:
    """Return the torch device; `auto` is CUDA where available, else the CPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise MethodError(
            "backbone: device is 'cuda', but torch finds no CUDA device; use --device cpu or auto"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def copied(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on the device; a GPU's pending work is not waited for."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
