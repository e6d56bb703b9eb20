"""Mixed precision and attention kernels for training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

CUDA_KERNELS: Final = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Attention kernels for training on a GPU, without cuDNN's, which torch prefers on Hopper chips.

On an H200 with torch 2.11 cuDNN's gradients of FLUX's attention were not finite at a head width of 8.
"""


@contextmanager
def attention_for_training(device: torch.device) -> Iterator[None]:
    """Use the attention kernels that are right and fast in the backward pass; wrap the forward pass in it.

    On a CPU, the flash kernel's backward pass takes over half of a small U-Net's. Plain matrix products take
    a tenth of that, if they stay in half precision; by default torch computes them in float32. On a GPU, the
    kernels are `CUDA_KERNELS`. The backward kernel is chosen in the forward pass; so the backward pass needs
    this context only where gradient checkpointing repeats the forward pass.
    """
    if device.type == "cuda":
        with sdpa_kernel(CUDA_KERNELS):
            yield
        return
    # In spite of its name, the setting applies to the plain products on every device.
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


Precision = Literal["auto", "fp32", "bf16", "fp16"]


def autocast_dtype(device: torch.device, precision: Precision) -> torch.dtype | None:
    """The half precision of `autocast`, or None for fp32."""
    dtypes = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    return dtypes[("bf16" if _has_bf16(device) else "fp32") if precision == "auto" else precision]


@contextmanager
def autocast(device: torch.device, precision: Precision = "auto") -> Iterator[None]:
    """Run the forward pass in `precision`; `auto` is bf16 with hardware support, else fp32."""
    dtype = autocast_dtype(device, precision)
    if dtype is None:
        yield
        return
    with torch.autocast(device.type, dtype), attention_of_autocast(device, precision):
        yield


@contextmanager
def attention_of_autocast(device: torch.device, precision: Precision = "auto") -> Iterator[None]:
    """Use the attention kernel of `autocast`; wrap the backward pass in it.

    Gradient checkpointing repeats the forward pass there. It restores torch's autocast, but no kernel, and
    raises an error where the repetition saves other tensors.
    """
    if autocast_dtype(device, precision) is None:
        yield
        return
    with attention_for_training(device):
        yield


@contextmanager
def gradient_checkpointing(network: Any, *, enabled: bool) -> Iterator[None]:
    """Compute the activations of a diffusers network again in the backward pass; off on exit."""
    if enabled:
        network.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if enabled:
            network.disable_gradient_checkpointing()


def _has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")
