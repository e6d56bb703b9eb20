"""What training reads, and how it varies the pictures it is shown."""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MIRRORED: Final = {"left": "right", "right": "left"}
"""What a mirror makes of a label; every other label stays."""


class LabelledPhotos(Protocol):
    """Photographs of many people with the truth about each. Rows of one person need not be neighbours."""

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


def draw_rows(rows: int, batch: int, generator: torch.Generator) -> Tensor:
    """`batch` different row numbers out of `rows` (or all of them, where there are fewer)."""
    # A full permutation costs a millisecond at 24,000 rows: nothing beside a training step.
    return torch.randperm(rows, generator=generator)[:batch]


def pixels_of(photos: LabelledPhotos, rows: Tensor) -> Tensor:
    """The photographs of these rows, B x 3 x 64 x 64, float32 in 0..255."""
    chosen = np.ascontiguousarray(photos.pixels[rows.numpy()])
    return torch.from_numpy(chosen).permute(0, 3, 1, 2).float()


def vary(pixels: Tensor, mirror: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror where told; turn, zoom, shift, tint, blur and roughen a little.

    Generated pictures are softer than photographs, and framed less well: neither may tell anything.
    """
    batch = len(pixels)

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    angle, zoom = between(-4, 4) * math.pi / 180, between(0.94, 1.06)
    sign = 1 - 2 * mirror.float()
    rows = (zoom * angle.cos() * sign, -zoom * angle.sin(), between(-0.06, 0.06))
    columns = (zoom * angle.sin() * sign, zoom * angle.cos(), between(-0.06, 0.06))
    theta = torch.stack([torch.stack(rows, 1), torch.stack(columns, 1)], 1)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    varied = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    varied = (
        (varied - 128) * between(0.85, 1.15, 1, 1, 1)
        + 128
        + between(-12, 12, 1, 1, 1)
        + between(-6, 6, 3, 1, 1)
    )
    varied = torch.where(between(0, 1, 1, 1, 1) < 0.3, _blurred(varied, generator), varied)
    noise = torch.randn(varied.shape, generator=generator) * between(0, 6, 1, 1, 1)
    return (varied + noise).clamp(0, 255)


def _blurred(pixels: Tensor, generator: torch.Generator) -> Tensor:
    size = int(torch.randint(28, 56, (1,), generator=generator))
    small = F.interpolate(pixels, size=(size, size), mode="area")
    return F.interpolate(small, size=pixels.shape[-2:], mode="bicubic", align_corners=False)
