"""One photograph on both sides of a split: an exact copy is refused, a near one is found and reported."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling, Transpose

from bench.errors import DatasetError

SIDE: Final = 16
"""The hash has SIDE x SIDE bits. The usual 64 cannot tell two rendered views of a person from one view and
its recompressed copy: both differ in 4. Of 256, two views differ in 12 and more, most copies in 0 to 10."""
NEAR: Final = 10
"""So many different bits at most make two photographs near copies."""

FLAT: Final = 4
"""Grey values, 0..255, between the darkest and the lightest pixel."""

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class ImageSignature:
    """What is compared of a photograph."""

    name: str
    exact: tuple[tuple[int, int], int, int]
    bits: Bits | None
    mirrored: Bits | None
    """None where the picture is too flat to have a look."""


def signature_of(name: str, photo: Image) -> ImageSignature:
    """Digest and perceptual hash of one photograph."""
    content = photo.tobytes()
    exact = (photo.size, zlib.crc32(content), zlib.adler32(content))
    turned = photo.transpose(Transpose.FLIP_LEFT_RIGHT)
    return ImageSignature(name, exact, perceptual_hash(photo), perceptual_hash(turned))


def perceptual_hash(photo: Image) -> Bits | None:
    """256 bits: which low frequencies of the grey picture are above their median (Zauner 2010, `pHash`).

    Recompressing, scaling and brightening change few of them; another expression or background many, and a
    narrower crop as well. None for a flat picture, whose frequencies are nothing but rounding.
    """
    small = photo.convert("L").resize((4 * SIDE, 4 * SIDE), Resampling.LANCZOS)
    grey = np.asarray(small, np.float64)
    if np.ptp(grey) < FLAT:
        return None
    cosines = _cosines(4 * SIDE)[:SIDE]
    low = (cosines @ grey @ cosines.T).ravel()
    bits: Bits = low > np.median(low[1:])
    return bits


def bits_apart(one: Bits | None, other: Bits | None) -> int | None:
    """In how many bits two hashes differ; None where one picture is flat."""
    return None if one is None or other is None else int((one != other).sum())


def near_copies(
    identity: str, references: Sequence[ImageSignature], held_out: Sequence[ImageSignature]
) -> list[str]:
    """A line for each held-out photograph that nearly is a reference, or its mirror image.

    Raises DatasetError where one is the other, pixel by pixel: that would be no test.
    """
    return list(_copies(identity, references, held_out))


def _copies(
    identity: str, references: Sequence[ImageSignature], held_out: Sequence[ImageSignature]
) -> Iterator[str]:
    for held in held_out:
        near = []
        for seen in references:
            if held.exact == seen.exact:
                raise DatasetError(
                    f"{identity}: {seen.name} and {held.name} are one picture, a reference and held out; "
                    f"remove one"
                )
            for bits, how in ((seen.bits, ""), (seen.mirrored, ", mirrored")):
                apart = bits_apart(held.bits, bits)
                if apart is not None and apart <= NEAR:
                    near.append((apart, seen.name + how))
        if near:
            apart, which = min(near)
            yield (
                f"{identity}: {held.name} is held out and nearly the reference {which} "
                f"({apart} of {SIDE * SIDE} bits apart)"
            )


@cache
def _cosines(size: int) -> NDArray[np.float64]:
    """The discrete cosine transform (type II, not normalised) as a matrix."""
    place = np.arange(size)
    matrix: NDArray[np.float64] = np.cos(np.pi / size * np.outer(place, place + 0.5))
    return matrix
