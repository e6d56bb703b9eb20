"""Ways in which a reference photograph can be bad, as functions of the picture."""

from collections.abc import Callable, Mapping
from typing import Final

from PIL import ImageDraw, ImageFilter
from PIL.Image import Image

GREY: Final = (128, 128, 128)


def blurred(photo: Image) -> Image:
    """Out of focus: a Gaussian of a sixteenth of the short side, at which eyes and mouth run together."""
    return photo.filter(ImageFilter.GaussianBlur(min(photo.size) / 16))


def occluded(photo: Image) -> Image:
    """A grey square over the middle, half as wide as the short side: over the face, in a portrait."""
    covered = photo.copy()
    (width, height), half = photo.size, min(photo.size) / 4
    box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
    ImageDraw.Draw(covered).rectangle(box, fill=GREY)
    return covered


CORRUPTIONS: Final[Mapping[str, Callable[[Image], Image]]] = {"blurred": blurred, "occluded": occluded}
