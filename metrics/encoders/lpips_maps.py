"""LPIPS (Zhang et al. 2018) as an embedding: a squared distance between weighted feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from bench.torchvision_ops import ensure_torchvision_imports
from metrics.encoders.memo import rgb
from metrics.encoders.weights import first_existing, sha256, versions
from metrics.interface import Features, MetricError

ensure_torchvision_imports()

import lpips  # noqa: E402

MODELS: Final = "https://download.pytorch.org/models"
FILES: Final = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
"""Torchvision's backbones; lpips itself brings the linear heads. The suffix begins the file's SHA-256."""


class LpipsMaps:
    """One pass per picture, instead of two per pair; the pictures are resized to `side` first."""

    def __init__(
        self, net: str, path: str | Path | None = None, side: int = 256, device: str = "cpu"
    ) -> None:
        self.net = net
        self.side = side
        self.name = f"lpips-{net}"
        self._path = first_existing(
            self.name,
            [Path(path).expanduser()] if path else [Path(torch.hub.get_dir()) / "checkpoints" / FILES[net]],
            cure=f"download {MODELS}/{FILES[net]} or set `path` in [encoders.{self.name}]",
            stand_in="efficientnet-lite0",
        )
        self._device = torch.device(device)
        self._network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
        self._fill(torch.load(self._path, weights_only=True, map_location="cpu"))
        self._network.eval().requires_grad_(False).to(self._device)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"{self.name} {sha256(self._path)[:12]}",
            "resize": f"bicubic antialiased to {self.side}",
            "dtype": "float32",
            **versions("lpips", "torch", "pillow"),
        }

    def embed(self, images: Sequence[Image.Image]) -> Features:
        """Rows whose squared distance is `lpips.LPIPS` of the two pictures."""
        return np.stack([self._row(image) for image in images])

    def _row(self, image: Image.Image) -> Features:
        pixels = torch.from_numpy(rgb(image, (self.side, self.side), Image.Resampling.BICUBIC))
        picture = (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).to(self._device)
        with torch.no_grad():
            layers = self._network.net(self._network.scaling_layer(picture))
            parts = []
            for maps, head in zip(layers, self._network.lins, strict=True):
                # A head is a dropout and a 1 x 1 convolution without bias, whose weights are not negative.
                weights = head.model[-1].weight.clamp_min(0).sqrt()
                parts.append((lpips.normalize_tensor(maps) * weights / maps[0, 0].numel() ** 0.5).flatten())
        row: Features = torch.cat(parts).cpu().numpy()
        return row

    def _fill(self, stored: Mapping[str, torch.Tensor]) -> None:
        """Put torchvision's `features.<i>.*` into lpips's `slice<k>.<i>.*`, all of them."""
        for key, value in self._network.net.state_dict().items():
            source = "features." + key.split(".", 1)[1]
            if source not in stored or stored[source].shape != value.shape:
                wanted = f"wanted torchvision's {FILES[self.net]}"
                raise MetricError(f"{self._path}: no {source} of shape {tuple(value.shape)}; {wanted}")
            value.copy_(stored[source])
