"""Photographs of many identities in one folder, and how they are read back."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Photo:
    """What is known of one picture."""

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
    """Pixels, (n, size, size, 3) in sRGB, and one record for each."""

    pixels: NDArray[np.uint8]
    records: tuple[Photo, ...]


def load_photos(folder: Path) -> Photos:
    """Read what `render_photos` wrote; the pixels stay on disk until they are used."""
    lines = (folder / "photos.jsonl").read_text().splitlines()
    pixels = np.load(folder / "photos.npy", mmap_mode="r")
    if len(lines) != len(pixels):
        raise ValueError(f"{folder}: {len(pixels)} pictures but {len(lines)} records; render again")
    return Photos(pixels, tuple(Photo(**json.loads(line)) for line in lines))
