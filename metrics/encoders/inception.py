"""Inception-v3 as clean-fid uses it: NVIDIA's TorchScript file, PIL's bicubic resize without rounding."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.runtime.image_cache import ImageCache, Row
from metrics.encoders.runtime.inference import outputs_by_row
from metrics.encoders.runtime.weight_files import checked, first_existing, sha256, versions
from metrics.interface import Features, MetricError

SIDE: Final = 299
FILE: Final = "inception-2015-12-05.pt"
SOURCE: Final = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{FILE}"
DIGEST: Final = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""SHA-256 of the published file (k-diffusion pins the same)."""
WIDTH: Final = 2048
"""Number of pooled features."""


class Inception:
    """Input is resized to 299 x 299; the file is at `path` or in one of its usual places."""

    name = "inception-v3"

    def __init__(self, path: str | Path | None = None, digest: str = DIGEST, device: str = "cpu") -> None:
        """Any other file than the published one requires its own SHA-256 as `digest`."""
        found = first_existing(
            self.name,
            [Path(path).expanduser()] if path else usual_places(),
            cure=f"download {SOURCE} and set `path` in [encoders.{self.name}]",
            alternative="efficientnet-lite0",
        )
        self._path = checked(self.name, found, digest, SOURCE)
        self._device = torch.device(device)
        try:
            self._network = torch.jit.load(str(self._path), map_location=self._device).eval()
        except RuntimeError as error:
            raise MetricError(
                f"{self._path}: not a TorchScript file ({str(error).splitlines()[0]})"
            ) from error
        self._cache = ImageCache(self._encode_batch)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"inception-v3 {sha256(self._path)[:12]}",
            "resize": f"clean-fid: bicubic antialiased to {SIDE}, not rounded",
            "device": self._device.type,
            "dtype": "float32",
            **versions("torch", "pillow"),
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 2048 pooled features."""
        return np.array([row[:WIDTH] for row in self._cache(images)], np.float32).reshape(-1, WIDTH)

    def probabilities(self, images: Sequence[Image.Image]) -> Features:
        """N x 1008 class probabilities, without the last layer's bias, as in the original Inception Score."""
        return np.array([row[WIDTH:] for row in self._cache(images)], np.float32).reshape(-1, 1008)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[Row]:
        """Pooled features followed by class probabilities."""
        inputs = torch.from_numpy(np.stack([resized(image) for image in images])).permute(0, 3, 1, 2)
        return [row for (row,) in outputs_by_row(self._forward, inputs, self._device)]

    def _forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        pooled = self._network.layers.forward((inputs - 128) / 128).view(len(inputs), -1)
        probabilities = (pooled @ self._network.output.weight.T).double().softmax(1)
        return [torch.cat([pooled, probabilities.float()], 1)]


def usual_places() -> list[Path]:
    """Where clean-fid, k-diffusion and torch.hub store the file."""
    caches = [Path.home() / ".cache" / "k-diffusion", Path(torch.hub.get_dir()) / "checkpoints"]
    return [folder / FILE for folder in (Path(tempfile.gettempdir()), *caches)]


def resized(image: Image.Image) -> NDArray[np.float32]:
    """The image as 299 x 299 x 3 in 0..255, resized by channel in floating point (Parmar et al. 2022)."""
    pixels = np.asarray(image.convert("RGB"), np.float32)
    channels = [
        np.asarray(Image.fromarray(pixels[:, :, c]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return np.stack(channels, 2).clip(0, 255)
