"""Inference settings shared by all networks: full single precision, no gradients, unit vectors."""

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


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of each item, in order, computed on as many threads as there are cores.

    For networks that run on one thread for exact repeatability and release the GIL, such as onnxruntime.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


@contextmanager
def inference_mode() -> Iterator[None]:
    """No gradients and no TF32: CUDA convolutions use it by default, with a mantissa of only 10 bits."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """The rows of N x D vectors at length 1, in float64.

    A row that is not finite or has length 0 has no direction. It becomes a row of infinities, for which
    metrics return a reason; a row of NaN would mean that the image contains nothing to encode.
    """
    rows = np.array(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    valid = (np.isfinite(lengths) & (lengths > 0)).ravel()
    rows[valid] /= lengths[valid]
    rows[~valid] = np.inf
    return rows
