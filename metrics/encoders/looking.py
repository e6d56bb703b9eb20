"""How a network looks at pictures: in full single precision and without gradients; vectors at length 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray


@contextmanager
def looking() -> Iterator[None]:
    """No gradients, and no TF32, which CUDA's convolutions use by themselves: it has 10 bits of mantissa."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """The rows of N x D vectors at length 1, in float64.

    A row that is not finite, or has no length, has no direction either: it becomes a row of infinities, which
    metrics answer with a reason (a row of NaN means that there was nothing to see).
    """
    rows = np.array(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    sound = (np.isfinite(lengths) & (lengths > 0)).ravel()
    rows[sound] /= lengths[sound]
    rows[~sound] = np.inf
    return rows
