"""A subject's photographs as training latents: cropped, optionally mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from PIL import ImageOps
from PIL.Image import Image, Resampling
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.images import stretched_to_square, tensor
from methods.compute.seeding import seeded_generator

Crop = Literal["random", "centre", "squeeze"]
"""A random or the central square, after resizing the short side to the backbone's resolution; or the whole
photograph resized to a square."""
Latents = Literal["sample", "mode"]
"""A new sample of the encoder's posterior each time, or its mode."""

MAX_CACHED = 512
"""Largest number of cached views, in memory of the CPU: 17 MB at 512 pixels, 134 MB at 1024."""
_View = tuple[int, int, int, bool]
"""Row of the photograph, top, left, mirrored."""


class InstanceImages:
    """Latents of a subject's photographs, with cached posteriors.

    Each view of a photograph is encoded once and its posterior sampled at every use. The result equals
    encoding at every step, as the published scripts do.
    """

    def __init__(
        self, images: Sequence[Image], backbone: Backbone, *, crop: Crop, flip: bool, latents: Latents
    ) -> None:
        self.backbone, self.crop, self.flip, self.latents = backbone, crop, flip, latents
        self.original = [(image.height, image.width) for image in images]
        self.images = [_resized(image, backbone.resolution, crop) for image in images]
        self._posteriors: dict[_View, tuple[Tensor, Tensor]] = {}

    def show(self, rows: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the photographs at `rows`: latents (B, C, h, w), float32, and SDXL's time ids (B, 6)."""
        views = [self._view(row, generator) for row in rows]
        means, deviations = zip(*(self._posterior(view) for view in views), strict=True)
        device = self.backbone.device
        latents = torch.stack(means).to(device)
        if self.latents == "sample":
            noise = torch.randn(latents.shape, generator=generator).to(device)
            latents = latents + torch.stack(deviations).to(device) * noise
        size = self.backbone.resolution
        ids = [[*self.original[row], top, left, size, size] for row, top, left, _ in views]
        return latents, torch.tensor(ids)

    def _view(self, row: int, generator: torch.Generator) -> _View:
        image, size = self.images[row], self.backbone.resolution
        margins = (image.height - size, image.width - size)
        if self.crop == "random":
            top, left = (int(torch.randint(margin + 1, (), generator=generator)) for margin in margins)
        else:
            top, left = (round(margin / 2) for margin in margins)
        return row, top, left, self.flip and bool(torch.rand((), generator=generator) < 0.5)

    def _posterior(self, view: _View) -> tuple[Tensor, Tensor]:
        if view in self._posteriors:
            return self._posteriors[view]
        row, top, left, mirrored = view
        size = self.backbone.resolution
        image = ImageOps.mirror(self.images[row]) if mirrored else self.images[row]
        image = image.crop((left, top, left + size, top + size))
        mean, deviation = self.backbone.encode_posterior(tensor([image]))
        posterior = mean[0].float().cpu(), deviation[0].float().cpu()
        if len(self._posteriors) < MAX_CACHED:
            self._posteriors[view] = posterior
        return posterior


def _resized(image: Image, size: int, crop: Crop) -> Image:
    if crop == "squeeze":
        return stretched_to_square(image, size)
    image = image.convert("RGB")
    if min(image.size) == size:
        return image
    # As torchvision's Resize, which the scripts use: the long side is truncated to an integer.
    short, long = sorted(image.size)
    scaled = int(size * long / short)
    wide = image.width >= image.height
    return image.resize((scaled, size) if wide else (size, scaled), Resampling.LANCZOS)


class EpochShuffler:
    """An infinite sequence of rows, reshuffled every epoch."""

    def __init__(self, count: int, *, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch, self._order = -1, [0]

    def rows(self, start: int, count: int) -> list[int]:
        """Return `count` rows from position `start` of the sequence."""
        return [self._row(position) for position in range(start, start + count)]

    def _row(self, position: int) -> int:
        epoch, index = divmod(position, self.count)
        if epoch != self._epoch:
            order = torch.randperm(self.count, generator=seeded_generator(self.seed, epoch))
            self._epoch, self._order = epoch, order.tolist()
        return self._order[index]
