"""Resolve `auto`, `cpu` and `cuda` to a torch device."""

from __future__ import annotations

import torch

from methods.errors import MethodError


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a device, and the CPU elsewhere."""
    if name == "cuda" and not torch.cuda.is_available():
        raise MethodError(
            "backbone: device 'cuda' was asked for, but torch sees none; use --device cpu or auto"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
