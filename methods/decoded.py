"""Decoded pixels as pictures: NaN is said before it turns into black."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from methods.interface import FLAW


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
