"""A cache of network outputs by image content, so that each image is encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from PIL.Image import Image

Value = TypeVar("Value")


def content_key(image: Image) -> bytes:
    """A digest of the image's mode, size and pixels: equal images have equal keys."""
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


class ImageCache(Generic[Value]):
    """Calls `compute` on new images, in batches of one size, and keeps the results.

    `most` limits the number of results kept between calls, least recently used first out. Use it for results
    of many megabytes.
    """

    def __init__(
        self, compute: Callable[[list[Image]], Sequence[Value]], batch: int = 32, most: int | None = None
    ) -> None:
        self._compute = compute
        self._batch = batch
        self._most = most
        self._values: dict[bytes, Value] = {}

    def __call__(self, images: Sequence[Image]) -> list[Value]:
        """The result of `compute` for each image, in order."""
        keys = [content_key(image) for image in images]
        fresh = {key: image for key, image in zip(keys, images, strict=True) if key not in self._values}
        for start in range(0, len(fresh), self._batch):
            part = list(fresh)[start : start + self._batch]
            self._values.update(zip(part, self._compute([fresh[key] for key in part]), strict=True))
        found = [self._values[key] for key in keys]
        if self._most is not None:
            self._evict(keys, self._most)
        return found

    def _evict(self, recent: Sequence[bytes], most: int) -> None:
        """Move the recently used keys to the end, then drop from the start."""
        for key in dict.fromkeys(recent):
            self._values[key] = self._values.pop(key)
        for key in list(self._values)[: max(0, len(self._values) - most)]:
            del self._values[key]


def rgb(
    image: Image, size: tuple[int, int], resample: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The image as height x width x 3, RGB, resized to (width, height); PIL's filters antialias."""
    converted = image.convert("RGB")
    return np.array(converted if converted.size == size else converted.resize(size, resample), np.uint8)
