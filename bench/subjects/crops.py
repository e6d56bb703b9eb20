"""Find photographs that are a part of another one: the same picture cropped, and perhaps scaled.

A window of the larger photograph is searched whose grey values correlate with the smaller one: first on a
grid at low resolution, then more finely. The window found must be a near copy by its perceptual hash.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from bench.subjects.near_duplicates import hamming_distance, perceptual_hash

SIDE: Final = 16
"""Longer side of a photograph, in pixels, in the search on a grid."""
FINE_SIDE: Final = 32
"""Width and height of a photograph, in pixels, in the finer search."""
SCALES: Final = (0.95, 0.87, 0.79, 0.71, 0.64, 0.57, 0.5)
"""Sides of the windows, as shares of the largest window of the same shape."""
MIN_CORRELATION: Final = 0.85
"""Minimum correlation of grey values in the search on a grid."""
MAX_DISTANCE: Final = {True: 8, False: 20}
"""Maximum number of different bits (of 256) of a crop, by whether both photographs are of one identity: such
photographs resemble each other. Of 120 random recompressed crops of 50 to 95 %, 93 (OpenPeople) and 57
(rendered, 64 px) differ in at most 8 bits, 119 and 114 in at most 20. Different photographs of two of these
people differ in at least 28 bits, of one person in at least 10, but for one pair of OpenPeople (6)."""
LARGEST: Final = 0.97
"""Largest crop, as a share of width and height."""
STEPS: Final = (0.04, 0.02, 0.01, 0.005)
"""Changes of place and size in the finer search, as shares of the window."""
Grey = NDArray[np.float32]
Window = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True, order=True)
class Crop:
    """Photograph `part` is a crop of photograph `whole`, by their positions."""

    distance: int
    """Number of different bits of the perceptual hashes."""
    part: int
    whole: int


def crops_among(photos: Sequence[Image.Image], owners: Sequence[str]) -> list[Crop]:
    """The crops among thumbnails of photographs; `owners` are their identities.

    The time grows with the square of the number of photographs: 400 take about 10 seconds.
    """
    shapes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, photo in enumerate(photos):
        shapes[_grid_size(photo.size)].append(index)
    found = []
    for whole, photo in enumerate(photos):
        for size, members in shapes.items():
            parts = np.stack([_unit(_grey(photos[part], size).reshape(1, -1))[0] for part in members])
            for row, window in _candidates(photo, size, parts):
                part = members[row]
                distance = None if part == whole else _distance(photos[part], photo, window)
                if distance is not None and distance <= MAX_DISTANCE[owners[part] == owners[whole]]:
                    found.append(Crop(distance, part, whole))
    return sorted(found, key=lambda crop: (crop.part, crop.whole))


def _grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height on the grid, with the photograph's shape."""
    scale = SIDE / max(size)
    return max(4, round(size[0] * scale)), max(4, round(size[1] * scale))


def _candidates(whole: Image.Image, size: tuple[int, int], parts: Grey) -> Iterator[tuple[int, Window]]:
    """Rows of `parts` that correlate with a window of `whole`, and the best window of each."""
    best = np.full(len(parts), MIN_CORRELATION, np.float32)
    windows: dict[int, Window] = {}
    largest = min(whole.width / size[0], whole.height / size[1])
    for scale in SCALES:
        pixel = largest * scale
        grid = (round(whole.width / pixel), round(whole.height / pixel))
        if grid[0] < size[0] or grid[1] < size[1]:
            continue
        views = sliding_window_view(_grey(whole, grid), (size[1], size[0]))
        correlations = _unit(views.reshape(-1, size[0] * size[1])) @ parts.T
        places = correlations.argmax(axis=0)
        for row, place in enumerate(places):
            if correlations[place, row] > best[row]:
                best[row] = correlations[place, row]
                top, left = divmod(int(place), views.shape[1])
                x, y = whole.width / grid[0], whole.height / grid[1]
                windows[row] = (left * x, top * y, (left + size[0]) * x, (top + size[1]) * y)
    yield from windows.items()


def _distance(part: Image.Image, whole: Image.Image, window: Window) -> int | None:
    """Different bits of `part` and of the window of `whole` that correlates best near `window`.

    None if the window is the whole photograph: then both are near copies, not one a crop of the other.
    """
    target = _unit(_grey(part, (FINE_SIDE, FINE_SIDE)).reshape(1, -1))[0]

    def correlation(box: Window) -> float:
        if box[0] < 0 or box[1] < 0 or box[2] > whole.width or box[3] > whole.height:
            return -1.0
        return float(_unit(_grey(whole, (FINE_SIDE, FINE_SIDE), box).reshape(1, -1))[0] @ target)

    best = correlation(window)
    for step in STEPS:
        improved = True
        while improved:
            improved = False
            for changed in _neighbours(window, step):
                value = correlation(changed)
                if value > best:
                    best, window, improved = value, changed, True
    if (window[2] - window[0]) / whole.width > LARGEST and (window[3] - window[1]) / whole.height > LARGEST:
        return None
    cut = whole.resize(part.size, Image.Resampling.LANCZOS, box=window)
    return hamming_distance(perceptual_hash(part), perceptual_hash(cut))


def _neighbours(window: Window, step: float) -> Iterator[Window]:
    """The window moved in four directions, larger and smaller."""
    left, top, right, bottom = window
    x, y = step * (right - left), step * (bottom - top)
    for dx, dy in ((x, 0), (-x, 0), (0, y), (0, -y)):
        yield left + dx, top + dy, right + dx, bottom + dy
    for sign in (1, -1):
        yield left - sign * x / 2, top - sign * y / 2, right + sign * x / 2, bottom + sign * y / 2


def _grey(photo: Image.Image, size: tuple[int, int], box: Window | None = None) -> Grey:
    filter = Image.Resampling.BOX if box is None else Image.Resampling.BILINEAR
    return np.asarray(photo.resize(size, filter, box), np.float32)


def _unit(rows: Grey) -> Grey:
    """Rows with mean 0 and length 1; zero where a row has no contrast."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Grey = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1)
    return unit
