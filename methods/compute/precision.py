"""Mixed precision and attention kernels for training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def fast_backward_attention(device: torch.device) -> Iterator[None]:
    """Around a forward pass that will be differentiated.

    On a CPU, the flash kernel's backward pass takes over half of a small U-Net's; plain matrix products
    take a tenth of that, if they may stay in half precision: left alone, torch computes them in float32. A
    kernel's backward is chosen with its forward, so only the forward needs this.
    """
    if device.type != "cpu":
        yield
        return
    # The setting is called cuda's, and is that of the plain products on every device.
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


Precision = Literal["auto", "fp32", "bf16", "fp16"]


@contextmanager
def autocast(device: torch.device, precision: Precision = "auto") -> Iterator[None]:
    """The forward pass in `precision`; attention by the fastest way to learn."""
    dtypes = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = dtypes[("bf16" if _has_bf16(device) else "fp32") if precision == "auto" else precision]
    if dtype is None:
        yield
        return
    with torch.autocast(device.type, dtype), fast_backward_attention(device):
        yield


def _has_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")
