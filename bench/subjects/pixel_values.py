"""Convert decoded images of any mode, range and colour profile to 8-bit sRGB."""

import io
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

DARKEST: Final = 1 / 16
"""Smallest share of the range that the largest value must reach: 12 bits in a 16-bit image, or a few
levels of 8 bits, are nearly black if read as they are, and their true range is unknown."""
BITS_PER_SAMPLE: Final = 258
"""Tag of TIFF; 10, 12 and 14 bits are stored without scaling in 16 bits."""
SPACES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode by the colour space of a profile."""
SAME_COLOR: Final = 2
"""Maximum difference (0..255) of a profile from sRGB that is left as it is; rounding alone gives 1."""


class PixelRangeError(ValueError):
    """Pixel values whose range is unknown or impossible."""


def stored_bits(image: Image.Image) -> int | None:
    """The number of bits of a TIFF's samples; None for other formats."""
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE)
    return int(bits[0]) if bits else None


def to_srgb(image: Image.Image, bits: int | None = None) -> Image.Image:
    """The image as 8-bit sRGB on white; `bits` are those of `stored_bits`.

    Raises PixelRangeError for values without a known range.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image, bits)
    opaque = image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = image.convert("RGB")
    converted = _without_profile(opaque, profile) if isinstance(profile, bytes) and profile else opaque
    if opaque is not image:
        layer = converted.convert("RGB")
        layer.putalpha(image.getchannel("A"))
        converted = Image.new("RGBA", image.size, "white")
        converted.alpha_composite(layer)
    # A copy without the file's metadata, so that no result depends on it.
    return Image.fromarray(np.asarray(converted.convert("RGB")))


def _to_eight_bits(image: Image.Image, bits: int | None) -> Image.Image:
    """Scale grey values to 8 bits; Pillow's own conversion clips 16-bit values to white."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite((low, high)).all():
        raise PixelRangeError("has values that are not finite; save it with 8 bits per channel")
    maximum = _range(image, bits, high)
    if low < 0 or high < DARKEST * maximum:
        raise PixelRangeError(
            f"has values from {low:g} to {high:g}, which is nearly black or negative in a range of "
            f"{maximum:g}; save it with 8 bits per channel"
        )
    scaled = np.multiply(values, np.float32(255 / maximum), dtype=np.float32)
    return Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))


def _range(image: Image.Image, bits: int | None, high: float) -> float:
    """The value of white: from the number of bits if the file states it, else 1, 255 or 65535."""
    if image.mode != "F" and bits is not None and 8 < bits < 16:
        return float(2**bits - 1)
    ranges = (1, 255, 65535) if image.mode == "F" else (255, 65535)
    for maximum in ranges:
        if high <= maximum:
            return float(maximum)
    raise PixelRangeError(f"has values up to {high:g}; save it with 8 bits per channel")


def _without_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours of an embedded profile in sRGB; an unreadable or unsuitable profile is ignored, as by
    viewers."""
    try:
        mode, transform = _transform(profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    grey = image.mode in ("L", "1")
    if transform is None or (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not grey):
        return image
    return _applied(transform, image if image.mode == mode else image.convert(mode))


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Mode and transform of a profile; no transform if its colours are those of sRGB."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = SPACES.get(source.profile.xcolor_space.strip())
    if mode is None:
        raise ValueError(f"colour space {source.profile.xcolor_space!r}")
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode == "CMYK":
        return mode, transform
    colors = _sample_colors(mode)
    plain = np.asarray(colors.convert("RGB"), np.int16)
    differences = np.abs(np.asarray(_applied(transform, colors), np.int16) - plain)
    return mode, transform if differences.max() > SAME_COLOR else None


def _sample_colors(mode: str) -> Image.Image:
    """All greys, or 17 values of each channel."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    axis: NDArray[np.uint8] = np.linspace(0, 255, 17).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1)
    return Image.fromarray(cube.reshape(17, 289, 3))


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # None is returned only for `inPlace`
    return converted
