"""Folder format of a rendered dataset: `photos.npy` and `photos.jsonl`."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Photo:
    """Record of one rendered photograph."""

    identity: int
    view: int
    attributes: dict[str, str]
    template: str

    @property
    def line(self) -> str:
        """One line of `photos.jsonl`."""
        return json.dumps(vars(self))


@dataclass(frozen=True)
class Photos:
    """Pixels of shape (n, size, size, 3) in sRGB, and n records."""

    pixels: NDArray[np.uint8]
    records: tuple[Photo, ...]


def load_photos(folder: Path) -> Photos:
    """Read a folder of `render_photos`; the pixels are memory-mapped. Raises ValueError if incomplete."""
    lines = (folder / "photos.jsonl").read_text().splitlines()
    pixels = np.load(folder / "photos.npy", mmap_mode="r")
    if len(lines) != len(pixels):
        raise ValueError(f"{folder}: {len(pixels)} images but {len(lines)} records; render again")
    return Photos(pixels, tuple(Photo(**json.loads(line)) for line in lines))
