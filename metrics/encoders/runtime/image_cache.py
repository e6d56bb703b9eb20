"""Caches of network outputs by image content, so that each image is encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

Row = NDArray[Any]
"""The features of one image: a one-dimensional array."""


class RowStore(Protocol):
    """Keeps rows by the digest of their image, for this process and later ones."""

    def get(self, keys: Collection[bytes]) -> dict[bytes, Row]:
        """The stored rows of these images; those without one are absent."""
        ...

    def put(self, rows: Mapping[bytes, Row]) -> None:
        """Store rows."""
        ...


def content_key(image: Image) -> bytes:
    """A digest of the image's mode, size and pixels: equal images have equal keys."""
    digest = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


class ImageCache:
    """Calls `compute` on new images and keeps the results in memory, and in a store if there is one.

    A result is a one-dimensional array. It must not depend on the other images of the call, which are those
    that are new. `max_bytes` limits the results in memory between calls, least recently used first out; use
    it for results of many megabytes.
    """

    store: RowStore | None = None

    def __init__(
        self,
        compute: Callable[[list[Image]], Sequence[Row]],
        batch: int = 32,
        max_bytes: int | None = None,
    ) -> None:
        self._compute = compute
        self._batch = batch
        self._max_bytes = max_bytes
        self._values: dict[bytes, Row] = {}
        self._bytes = 0

    def __call__(self, images: Sequence[Image]) -> list[Row]:
        """The result of `compute` for each image, in order."""
        keys = [content_key(image) for image in images]
        fresh = {key: image for key, image in zip(keys, images, strict=True) if key not in self._values}
        if fresh and self.store is not None:
            stored = self.store.get(fresh.keys())
            self._remember(stored)
            fresh = {key: image for key, image in fresh.items() if key not in stored}
        for start in range(0, len(fresh), self._batch):
            part = list(fresh)[start : start + self._batch]
            self._keep(dict(zip(part, self._compute([fresh[key] for key in part]), strict=True)))
        found = [self._values[key] for key in keys]
        if self._max_bytes is not None:
            self._evict(keys, self._max_bytes)
        return found

    def add(self, images: Sequence[Image], rows: Sequence[Row]) -> None:
        """Keep results that were computed elsewhere."""
        by_key = dict(zip(map(content_key, images), rows, strict=True))
        known = {*self._values, *(self.store.get(by_key.keys()) if self.store is not None else ())}
        self._keep({key: row for key, row in by_key.items() if key not in known})

    def _remember(self, rows: Mapping[bytes, Row]) -> None:
        self._values.update(rows)
        self._bytes += sum(row.nbytes for row in rows.values())

    def _keep(self, rows: Mapping[bytes, Row]) -> None:
        self._remember(rows)
        if self.store is not None:
            self.store.put(rows)

    def _evict(self, recent: Sequence[bytes], max_bytes: int) -> None:
        """Move the recently used keys to the end, then drop from the start, but for one."""
        for key in dict.fromkeys(recent):
            self._values[key] = self._values.pop(key)
        while self._bytes > max_bytes and len(self._values) > 1:
            self._bytes -= self._values.pop(next(iter(self._values))).nbytes


def rgb(
    image: Image, size: tuple[int, int], resample: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The image as height x width x 3, RGB, resized to (width, height); PIL's filters antialias."""
    converted = image.convert("RGB")
    return np.array(converted if converted.size == size else converted.resize(size, resample), np.uint8)
