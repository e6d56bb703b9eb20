"""The in-domain face network, trained on rendered people in eye-aligned images of 64 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.architectures.small_resnet import SIZE, load_face_network, trained_on
from metrics.encoders.faces.yunet import YuNet
from metrics.encoders.runtime.image_cache import ImageCache, rgb
from metrics.encoders.runtime.inference import outputs_by_row, unit
from metrics.encoders.runtime.weight_files import sha256, shipped, versions
from metrics.interface import Features


class FaceRendered:
    """Input is the whole image at 64 x 64, which must show one person aligned by the eyes, as renders do.

    The network outputs a vector for any image, so YuNet decides whether there is a face at all.
    """

    name = "face-rendered"

    def __init__(self, yunet: YuNet, path: str | Path | None = None) -> None:
        self.yunet = yunet
        self._path = shipped(self.name, path, alternative="sface")
        self._network = load_face_network(self._path)
        self._trained_on = trained_on(self._path)
        self._cache = ImageCache(self._encode_batch)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.yunet.fingerprint,
            "network": f"face-rendered {sha256(self._path)[:12]}",
            "trained on": self._trained_on,
            "alignment": "none: the whole picture",
            "resize": f"bicubic antialiased to {SIZE}",
            "dtype": "float32",
            **versions("torch", "pillow"),
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 128 unit vectors; a row of NaN where YuNet finds no face."""
        return np.array(self._cache(images)).reshape(-1, self._network.width)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        pixels = np.stack([rgb(image, (SIZE, SIZE), Image.Resampling.BICUBIC) for image in images])
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        rows = outputs_by_row(lambda batch: [self._network(batch)], inputs, torch.device("cpu"))
        vectors = unit([vector for (vector,) in rows])
        vectors[[not faces for faces in self.yunet.find(images)]] = np.nan
        return list(vectors)
