"""Squares around faces, for photographs that show more than a face."""

from functools import cache
from typing import Any, Final

from PIL.Image import Image

CROP_SCALE: Final = 1.8
"""Side of the square as a multiple of the longer side of the face box."""
FaceBox = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""
Square = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, right and bottom exclusive."""


@cache
def detector() -> Any | None:
    """YuNet, or None if its package is not installed."""
    from metrics.catalog import open_encoder
    from metrics.interface import MetricError

    try:
        return open_encoder("yunet")
    except MetricError:
        return None


def found_face(image: Image) -> FaceBox | None:
    """The largest face that YuNet finds, or None."""
    yunet = detector()
    boxes = yunet.boxes([image])[0] if yunet is not None else []
    return boxes[0] if boxes else None


def has_overlap(face: FaceBox, size: tuple[int, int]) -> bool:
    """Whether a box has an area and contains a part of an image of this width and height."""
    left, top, width, height = face
    return width > 0 and height > 0 and -width < left < size[0] and -height < top < size[1]


def square_around(face: FaceBox, size: tuple[int, int]) -> Square:
    """A square around the face, moved and clipped into an image of this width and height."""
    left, top, width, height = face
    side = min(round(CROP_SCALE * max(width, height)), *size)
    x, y = (
        min(max(0, round(middle - side / 2)), length - side)
        for middle, length in zip((left + width / 2, top + height / 2), size, strict=True)
    )
    return x, y, x + side, y + side
