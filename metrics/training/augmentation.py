"""Training data interface, batch sampling and image augmentation."""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MIRRORED: Final = {"left": "right", "right": "left"}
"""Labels that change when the image is mirrored."""


class LabelledPhotos(Protocol):
    """Labelled photographs of many people. Rows of one person need not be adjacent."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All photographs, N x 64 x 64 x 3, RGB, aligned by the eyes; may be memory-mapped."""
        ...

    @property
    def identities(self) -> NDArray[np.int64]:
        """The person of each row."""
        ...

    def labels(self, name: str) -> list[str]:
        """The value of the attribute `name` (`glasses`, `pose`) in each row."""
        ...


def sample_rows(rows: int, batch: int, generator: torch.Generator) -> Tensor:
    """`batch` different row indices below `rows`, or all of them if there are fewer."""
    # A full permutation takes a millisecond at 24,000 rows, which is negligible.
    return torch.randperm(rows, generator=generator)[:batch]


def pixel_batch(photos: LabelledPhotos, rows: Tensor) -> Tensor:
    """The photographs of these rows, B x 3 x 64 x 64, float32 in 0..255."""
    pixels = np.ascontiguousarray(photos.pixels[rows.numpy()])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


def augment(pixels: Tensor, mirror: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror the selected images; slightly rotate, zoom, shift, tint, blur and add noise to all.

    Generated images are softer than photographs and less well framed; the networks must be invariant to both.
    """
    batch = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    angle, zoom = uniform(-4, 4) * math.pi / 180, uniform(0.94, 1.06)
    sign = 1 - 2 * mirror.float()
    rows = (zoom * angle.cos() * sign, -zoom * angle.sin(), uniform(-0.06, 0.06))
    columns = (zoom * angle.sin() * sign, zoom * angle.cos(), uniform(-0.06, 0.06))
    theta = torch.stack([torch.stack(rows, 1), torch.stack(columns, 1)], 1)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    augmented = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    augmented = (
        (augmented - 128) * uniform(0.85, 1.15, 1, 1, 1)
        + 128
        + uniform(-12, 12, 1, 1, 1)
        + uniform(-6, 6, 3, 1, 1)
    )
    augmented = torch.where(uniform(0, 1, 1, 1, 1) < 0.3, _blurred(augmented, generator), augmented)
    noise = torch.randn(augmented.shape, generator=generator) * uniform(0, 6, 1, 1, 1)
    return (augmented + noise).clamp(0, 255)


def _blurred(pixels: Tensor, generator: torch.Generator) -> Tensor:
    size = int(torch.randint(28, 56, (1,), generator=generator))
    small = F.interpolate(pixels, size=(size, size), mode="area")
    return F.interpolate(small, size=pixels.shape[-2:], mode="bicubic", align_corners=False)
