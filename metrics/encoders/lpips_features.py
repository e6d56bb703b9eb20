"""LPIPS (Zhang et al. 2018) as an embedding: a squared distance between weighted feature maps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.runtime.image_cache import ImageCache, rgb
from metrics.encoders.runtime.inference import GPU_BATCH, outputs_by_row
from metrics.encoders.runtime.tensor_files import read_tensors
from metrics.encoders.runtime.usual_places import BACKBONES, lpips_places
from metrics.encoders.runtime.weight_files import (
    checked,
    first_existing,
    is_known,
    packaged,
    sha256,
    versions,
)
from metrics.interface import Features, MetricError

MODELS: Final = "https://download.pytorch.org/models"
CONVERTED: Final = {
    "alex": "a68d74a296053cffc2cacf644009ea9ee460769537e7bc6a68ff1123bd8044e8",
    "vgg": "dc02a33dfe1fb5f8a6aa61e858126e40b74a3bf82fa97071155c55f921d98ebe",
}
"""SHA-256 of the output of results/scripts/convert_lpips.py: the convolutions of torchvision's networks."""
VERSION: Final = "0.1"
"""Version of the heads in the package lpips."""
MEMORY: Final = 2 << 30
"""Bytes of feature maps in the cache: at 256 pixels about 800 images for alex, but 60 for vgg."""


class LpipsFeatures:
    """One forward pass per image instead of two per pair; images are resized to `side` first."""

    def __init__(
        self,
        net: str,
        path: str | Path | None = None,
        digest: str | None = None,
        side: int = 256,
        device: str = "cpu",
    ) -> None:
        """Any other file than torchvision's and the converted ones requires its own SHA-256 as `digest`."""
        self.net = net
        self.side = side
        self.name = f"lpips-{net}"
        file = BACKBONES[net]
        found = first_existing(
            self.name,
            [Path(path).expanduser()] if path else lpips_places(net),
            cure=_cure(net),
            alternative="efficientnet-lite0" if net == "alex" else "lpips-alex",
        )
        if digest is None:
            own = found.suffix == ".safetensors" and net in CONVERTED
            digest = CONVERTED[net] if own else file.removesuffix(".pth").rpartition("-")[2]
        self._path = checked(self.name, found, digest, f"{MODELS}/{file}")
        self._heads = packaged(
            self.name, "lpips", f"weights/v{VERSION}/{net}.pth", alternative="efficientnet-lite0"
        )
        self._device = torch.device(device)
        self._cache = ImageCache(self._embed_batch, GPU_BATCH, max_bytes=MEMORY)
        if self._device.type != "cpu" or not is_known(self._path, *CONVERTED.values()):
            self.open()

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"{self.name} {sha256(self._path)[:12]}",
            "heads": f"v{VERSION} {sha256(self._heads)[:12]}",
            "resize": f"bicubic antialiased to {self.side}",
            "device": self._device.type,
            "dtype": "float32",
            **versions("lpips", "torch", "pillow"),
        }

    def embed(self, images: Sequence[Image.Image]) -> Features:
        """Rows whose squared distance equals `lpips.LPIPS` of the two images."""
        return np.array(self._cache(images), np.float32)

    def open(self) -> None:
        """Load the network now, not when it is first used; raises MetricError for an unusable file."""
        _ = self._network

    @cached_property
    def _network(self) -> Any:
        # Imports torchvision, and with it torch's compiler: two seconds.
        import lpips

        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # lpips calls torchvision with arguments that torchvision warns about.
            warnings.simplefilter("ignore", UserWarning)
            network = lpips.LPIPS(net=self.net, version=VERSION, pnet_rand=True, verbose=False)
        self._copy_backbone(read_tensors(self._path), network.net)
        return network.eval().requires_grad_(False).to(self._device)

    @cached_property
    def _channel_scales(self) -> list[torch.Tensor]:
        return [_channel_scale(head) for head in self._network.lins]

    def _embed_batch(self, images: Sequence[Image.Image]) -> list[NDArray[np.float32]]:
        pixels = np.stack([rgb(image, (self.side, self.side), Image.Resampling.BICUBIC) for image in images])
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        return [row for (row,) in outputs_by_row(self._forward, inputs, self._device)]

    def _forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        from lpips import normalize_tensor

        layers = self._network.net(self._network.scaling_layer(inputs))
        parts = [
            (normalize_tensor(maps) * scale / maps[0, 0].numel() ** 0.5).flatten(1)
            for maps, scale in zip(layers, self._channel_scales, strict=True)
        ]
        return [torch.cat(parts, 1)]

    def _copy_backbone(self, stored: Mapping[str, torch.Tensor], backbone: torch.nn.Module) -> None:
        """Copy all tensors `features.<i>.*` of torchvision into `slice<k>.<i>.*` of lpips."""
        for key, value in backbone.state_dict().items():
            source = "features." + key.split(".", 1)[1]
            if source not in stored or stored[source].shape != value.shape:
                expected = f"expected torchvision's {BACKBONES[self.net]}"
                raise MetricError(f"{self._path}: no {source} of shape {tuple(value.shape)}; {expected}")
            value.copy_(stored[source])


def _cure(net: str) -> str:
    script = f"run `python results/scripts/convert_lpips.py {net}`, " if net in CONVERTED else ""
    return f"{script}download {MODELS}/{BACKBONES[net]} or set `path` in [encoders.lpips-{net}]"


def _channel_scale(head: torch.nn.Module) -> torch.Tensor:
    """Square roots of the weights of a head, which is a dropout and a 1 x 1 convolution without bias."""
    (weights,) = head.parameters()
    if (weights < 0).any():
        raise MetricError("lpips: a head has negative weights, which no distance allows; reinstall lpips")
    roots: torch.Tensor = weights.sqrt()
    return roots
