"""Perceptual hashes of photographs, and the pairs that are near copies."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling, Transpose

from bench.errors import DatasetError

SIDE: Final = 16
"""The hash has SIDE x SIDE = 256 bits. The usual 64 do not separate two rendered views of a person from a
view and its recompressed copy: both pairs differ in 4 bits. Of 256 bits, two views differ in at least 12,
most copies in 0 to 10."""
HASH_BITS: Final = SIDE * SIDE
MAX_DISTANCE: Final = 10
"""Maximum number of different bits between near copies."""

DARK: Final = 16
"""Lightest grey value (0..255) of a photograph that is nearly black."""
THUMBNAIL: Final = 96
"""Maximum width and height in pixels of the image in which crops are searched."""
BLOCK: Final = 2048
"""Photographs that are compared with all others at once; bounds the memory."""
MIN_CONTRAST: Final = 4
"""Minimum range of grey values (0..255) that is required for a hash."""

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class ImageSignature:
    """Digest and perceptual hashes of one photograph."""

    name: str
    exact: tuple[tuple[int, int], int, int]
    bits: Bits | None
    """None if the image has too little contrast for a hash."""
    mirrored: Bits | None
    """The hash of the mirror image."""
    thumbnail: Image
    """Grey, with a longer side of at most THUMBNAIL pixels."""

    @property
    def is_dark(self) -> bool:
        """Whether the photograph is nearly black."""
        lightest = self.thumbnail.getextrema()[1]
        return isinstance(lightest, int | float) and lightest < DARK


def signature_of(name: str, photo: Image) -> ImageSignature:
    """Compute the digest and the perceptual hashes of one photograph."""
    content = photo.tobytes()
    exact = (photo.size, zlib.crc32(content), zlib.adler32(content))
    turned = photo.transpose(Transpose.FLIP_LEFT_RIGHT)
    thumbnail = photo.convert("L")
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Resampling.LANCZOS)
    return ImageSignature(name, exact, perceptual_hash(photo), perceptual_hash(turned), thumbnail)


def perceptual_hash(photo: Image) -> Bits | None:
    """256 bits: whether each low DCT frequency of the grey image exceeds their median (Zauner 2010, `pHash`).

    Recompression, scaling and brightening change few bits; another expression, background or crop changes
    many. None for an image without contrast, whose frequencies are rounding errors.
    """
    from scipy.fft import dctn

    small = photo.convert("L").resize((4 * SIDE, 4 * SIDE), Resampling.LANCZOS)
    grey = np.asarray(small, np.float64)
    if np.ptp(grey) < MIN_CONTRAST:
        return None
    low = dctn(grey)[:SIDE, :SIDE].ravel()
    bits: Bits = low > np.median(low[1:])
    return bits


def hamming_distance(one: Bits | None, other: Bits | None) -> int | None:
    """Number of different bits; None if one image has no hash."""
    return None if one is None or other is None else int((one != other).sum())


@dataclass(frozen=True, order=True)
class NearPair:
    """Two photographs that are near copies, by their positions."""

    distance: int
    """Number of different bits."""
    mirrored: bool
    first: int
    second: int


def near_pairs(photos: Sequence[ImageSignature]) -> list[NearPair]:
    """All pairs of near copies among the photographs, including mirror images; sorted by position."""
    hashed = [index for index, photo in enumerate(photos) if photo.bits is not None]
    found: dict[tuple[int, int], NearPair] = {}
    # Between -1 and 1, the product of two rows is the number of equal bits minus that of different ones.
    signs = np.array([photos[index].bits for index in hashed], np.float32) * 2 - 1
    turned = np.array([photos[index].mirrored for index in hashed], np.float32) * 2 - 1
    for start in range(0, len(hashed), BLOCK):
        for mirrored, rows in ((False, signs), (True, turned)):
            distances = (HASH_BITS - rows[start : start + BLOCK] @ signs.T) / 2
            for i, j in np.argwhere(distances <= MAX_DISTANCE):
                first, second = hashed[start + i], hashed[j]
                if first < second:
                    pair = NearPair(round(float(distances[i, j])), mirrored, first, second)
                    found[first, second] = min(pair, found.get((first, second), pair))
    return [found[place] for place in sorted(found)]


def near_copies(
    identity: str, references: Sequence[ImageSignature], held_out: Sequence[ImageSignature]
) -> list[str]:
    """A line for each held-out photograph that is a near copy of a reference or of its mirror image.

    Raises DatasetError if a held-out photograph equals a reference pixel by pixel.
    """
    return list(_copies(identity, references, held_out))


def _copies(
    identity: str, references: Sequence[ImageSignature], held_out: Sequence[ImageSignature]
) -> Iterator[str]:
    for held in held_out:
        near = []
        for reference in references:
            if held.exact == reference.exact:
                raise DatasetError(
                    f"{identity}: {reference.name} and {held.name} are the same image, "
                    "a reference and held out; remove one"
                )
            for bits, suffix in ((reference.bits, ""), (reference.mirrored, ", mirrored")):
                distance = hamming_distance(held.bits, bits)
                if distance is not None and distance <= MAX_DISTANCE:
                    near.append((distance, reference.name + suffix))
        if near:
            distance, name = min(near)
            yield (
                f"{identity}: {held.name} is held out and a near copy of the reference {name} "
                f"({distance} of {SIDE * SIDE} bits differ)"
            )
