"""Corruptions of a reference photograph."""

from collections.abc import Callable, Mapping
from typing import Final

from PIL import ImageDraw, ImageFilter
from PIL.Image import Image

GREY: Final = (128, 128, 128)


def blurred(photo: Image) -> Image:
    """Gaussian blur with sigma = short side / 16; eyes and mouth are no longer separable."""
    return photo.filter(ImageFilter.GaussianBlur(min(photo.size) / 16))


def occluded(photo: Image) -> Image:
    """Grey square over the centre, half as wide as the short side; covers the face of a portrait."""
    covered = photo.copy()
    (width, height), half = photo.size, min(photo.size) / 4
    box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
    ImageDraw.Draw(covered).rectangle(box, fill=GREY)
    return covered


CORRUPTIONS: Final[Mapping[str, Callable[[Image], Image]]] = {"blurred": blurred, "occluded": occluded}
