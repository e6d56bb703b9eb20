"""A memory of what a network saw in a picture, so that each picture is looked at once, whoever asks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from PIL.Image import Image

Value = TypeVar("Value")


def content_key(image: Image) -> bytes:
    """A digest of the picture's pixels and size: equal pictures have equal keys, wherever they lie."""
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


class ImageCache(Generic[Value]):
    """Calls `look` on the pictures it has not seen, in batches of one size, and remembers the answers.

    With `most`, only so many are kept between calls, the latest asked for: for answers of many megabytes.
    """

    def __init__(
        self, look: Callable[[list[Image]], Sequence[Value]], batch: int = 32, most: int | None = None
    ) -> None:
        self._look = look
        self._batch = batch
        self._most = most
        self._seen: dict[bytes, Value] = {}

    def __call__(self, images: Sequence[Image]) -> list[Value]:
        """What `look` says of each picture, in order."""
        keys = [content_key(image) for image in images]
        fresh = {key: image for key, image in zip(keys, images, strict=True) if key not in self._seen}
        for start in range(0, len(fresh), self._batch):
            part = list(fresh)[start : start + self._batch]
            self._seen.update(zip(part, self._look([fresh[key] for key in part]), strict=True))
        found = [self._seen[key] for key in keys]
        if self._most is not None:
            self._forget(keys, self._most)
        return found

    def _forget(self, asked: Sequence[bytes], most: int) -> None:
        """Put what was asked for last to the end of the memory, and drop its beginning."""
        for key in dict.fromkeys(asked):
            self._seen[key] = self._seen.pop(key)
        for key in list(self._seen)[: max(0, len(self._seen) - most)]:
            del self._seen[key]


def rgb(
    image: Image, size: tuple[int, int], resample: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The picture as height x width x 3, RGB, resized to (width, height); PIL's filters antialias."""
    picture = image.convert("RGB")
    return np.array(picture if picture.size == size else picture.resize(size, resample), np.uint8)
