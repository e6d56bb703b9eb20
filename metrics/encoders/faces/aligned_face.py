"""Encoders of the largest face, aligned by the five points of YuNet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.faces.alignment import FACE, align
from metrics.encoders.faces.yunet import Face, YuNet
from metrics.encoders.runtime.image_cache import ImageCache
from metrics.encoders.runtime.inference import map_in_threads, unit
from metrics.interface import Features


class AlignedFaceEncoder(ABC):
    """Maps the largest face to a unit vector; a subclass adds the network."""

    width: ClassVar[int]
    """Number of elements of a vector."""

    def __init__(self, yunet: YuNet) -> None:
        self.yunet = yunet
        self._cache = ImageCache(self._encode_batch)

    @abstractmethod
    def vectors(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output, 1 x width, for one aligned face, 112 x 112 x 3 in RGB."""

    @property
    def _alignment(self) -> dict[str, str]:
        """The parts of the fingerprint that describe the alignment."""
        return {
            "alignment": f"5 points to {FACE}",
            "resize": "bicubic, antialiased where the face shrinks",
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x width unit vectors; a row of NaN for an image without a face."""
        return np.array(self._cache(images), np.float64).reshape(-1, self.width)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        return map_in_threads(self._encode_one, list(zip(images, self.yunet.find(images), strict=True)))

    def _encode_one(self, image_and_faces: tuple[Image.Image, tuple[Face, ...]]) -> NDArray[np.float64]:
        image, faces = image_and_faces
        if not faces:
            return np.full(self.width, np.nan)
        vector: NDArray[np.float64] = unit(self.vectors(align(image.convert("RGB"), faces[0].landmarks)))[0]
        return vector
