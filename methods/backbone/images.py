"""Photographs as the networks want them: square, of one size, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from methods.subject import FLAW


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


def pictures_of(pixels: NDArray[np.floating]) -> list[Image.Image]:
    """N x H x W x 3 in 0..1 as RGB pictures, rounded as diffusers does.

    A picture with a NaN or an infinity, which diffusers would make black in silence, is black too, and
    carries `info["flaw"] = "nan"`.
    """
    whole = np.isfinite(pixels).all(axis=(1, 2, 3))
    shown = np.where(whole[:, None, None, None], pixels, 0.0)
    images = [Image.fromarray(row) for row in (shown * 255).round().astype(np.uint8)]
    for image, sound in zip(images, whole, strict=True):
        if not sound:
            image.info[FLAW] = "nan"
    return images
