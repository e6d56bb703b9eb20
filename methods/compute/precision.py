"""Mixed precision and attention kernels for training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def quick_to_learn(device: torch.device) -> Iterator[None]:
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
