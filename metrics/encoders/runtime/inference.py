"""Inference settings shared by all networks: full single precision, independent rows, unit vectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")
GPU_BATCH: Final = 16


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`function` of each item, in order, computed on as many threads as there are cores.

    For networks that run on one thread for exact repeatability and release the GIL, such as onnxruntime.
    """
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def outputs_by_row(
    forward: Callable[[Tensor], Sequence[Tensor]], inputs: Tensor, device: torch.device
) -> list[list[NDArray[Any]]]:
    """The outputs of a network for each row of `inputs`; no row's numbers depend on the other rows.

    Sums in another order differ in the last digits. Therefore a CPU computes row by row, each on one thread
    and several at the same time, so that the number of cores has no effect either. A GPU computes batches of
    one size, the last one filled up with zeros.
    """
    if device.type == "cpu":
        with inference_mode(), _one_thread():
            return map_in_threads(lambda row: _row_outputs(forward, row, device)[0], inputs.split(1))
    filling = torch.zeros(-len(inputs) % GPU_BATCH, *inputs.shape[1:], dtype=inputs.dtype)
    batches = torch.cat([inputs, filling]).split(GPU_BATCH)
    with inference_mode():
        return [row for batch in batches for row in _row_outputs(forward, batch, device)][: len(inputs)]


def _row_outputs(
    forward: Callable[[Tensor], Sequence[Tensor]], inputs: Tensor, device: torch.device
) -> list[list[NDArray[Any]]]:
    # Also here, because every thread has its own state.
    with torch.no_grad():
        outputs = [output.cpu().numpy() for output in forward(inputs.to(device))]
    return [list(row) for row in zip(*outputs, strict=True)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for each operation of torch, in this thread and in those started inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
