"""Photographs as the networks want them: square, of one size, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor


def square(image: Image.Image, size: int) -> Image.Image:
    """The middle square of a photograph, `size` pixels wide; one of that size already is not resampled."""
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def squeezed(image: Image.Image, size: int) -> Image.Image:
    """The whole photograph, squeezed to a square: nothing of a face is cut away."""
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BICUBIC)


def tensor(images: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size as (N, 3, H, W) in [0, 1]."""
    return from_bytes(np.stack([np.asarray(image) for image in images]))


def from_bytes(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """N x H x W x 3 bytes as (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
