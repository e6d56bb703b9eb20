"""Conversion between images and tensors: square, of one size, values in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from methods.subject import FLAW


def square(image: Image.Image, size: int) -> Image.Image:
    """Return the central square, resized to `size` pixels; an image of that size is not resampled."""
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def stretched_to_square(image: Image.Image, size: int) -> Image.Image:
    """Return the whole image, resized to a square without cropping, so that no part of a face is lost."""
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BICUBIC)


def tensor(images: Sequence[Image.Image]) -> Tensor:
    """Stack images of one size: (N, 3, H, W) in [0, 1]."""
    return from_bytes(np.stack([np.asarray(image) for image in images]))


def from_bytes(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Convert N x H x W x 3 bytes to (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


def to_pil_images(pixels: NDArray[np.floating]) -> list[Image.Image]:
    """Convert N x H x W x 3 in [0, 1] to RGB images, rounded as diffusers does.

    An image with a NaN or an infinity is black, as in diffusers, and marked with `info["flaw"] = "nan"`.
    """
    finite = np.isfinite(pixels).all(axis=(1, 2, 3))
    valid = np.where(finite[:, None, None, None], pixels, 0.0)
    images = [Image.fromarray(row) for row in (valid * 255).round().astype(np.uint8)]
    for image, is_finite in zip(images, finite, strict=True):
        if not is_finite:
            image.info[FLAW] = "nan"
    return images
