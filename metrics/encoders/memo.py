"""A memory of what a network saw in a picture, so that each picture is looked at once, whoever asks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from PIL.Image import Image

Seen = TypeVar("Seen")


def content_key(image: Image) -> bytes:
    """A digest of the picture's pixels and size: equal pictures have equal keys, wherever they lie."""
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


class Memo(Generic[Seen]):
    """Calls `look` on the pictures it has not seen, in batches of one size, and remembers the answers."""

    def __init__(self, look: Callable[[list[Image]], Sequence[Seen]], batch: int = 32) -> None:
        self._look = look
        self._batch = batch
        self._seen: dict[bytes, Seen] = {}

    def __call__(self, images: Sequence[Image]) -> list[Seen]:
        """What `look` says of each picture, in order."""
        keys = [content_key(image) for image in images]
        fresh = {key: image for key, image in zip(keys, images, strict=True) if key not in self._seen}
        for start in range(0, len(fresh), self._batch):
            part = list(fresh)[start : start + self._batch]
            self._seen.update(zip(part, self._look([fresh[key] for key in part]), strict=True))
        return [self._seen[key] for key in keys]


def rgb(
    image: Image, size: tuple[int, int], resample: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The picture as height x width x 3, RGB, resized to (width, height); PIL's filters antialias."""
    picture = image.convert("RGB")
    return np.array(picture if picture.size == size else picture.resize(size, resample), np.uint8)
