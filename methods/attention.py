"""Which of torch's attention kernels learns fastest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def quick_to_learn(device: torch.device) -> Iterator[None]:
    """Around a forward pass that will be differentiated.

    On a CPU, the flash kernel's backward pass takes over half of a small U-Net's; plain matrix products
    take a tenth of that. A kernel's backward is chosen with its forward, so only the forward needs this.
    """
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield
