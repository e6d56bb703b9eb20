"""How a network looks at pictures: in full single precision and without gradients; vectors at length 1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(look: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What `look` says of each item, in order, as many at once as there are cores.

    For a network that runs on one thread so that it repeats exactly, and lets others run meanwhile, as
    onnxruntime does.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(look, items))


@contextmanager
def inference_mode() -> Iterator[None]:
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
