"""Array functions shared by the modules of the renderer."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.synthetic.geometry.head_model import Floats


def vector(*values: float) -> Floats:
    """A float32 vector, such as coordinates or a colour."""
    return np.array(values, np.float32)


def smoothstep(start: ArrayLike, end: ArrayLike, x: ArrayLike) -> Floats:
    """Cubic step from 0 at `start` to 1 at `end`; `start` may be larger than `end`."""
    first = np.asarray(start, np.float32)
    t = np.clip((np.asarray(x, np.float32) - first) / (np.asarray(end, np.float32) - first), 0, 1)
    step: Floats = t * t * (3 - 2 * t)
    return step


def bump(x: ArrayLike, centre: float, width: float) -> Floats:
    """A Gaussian of height 1."""
    values: Floats = np.exp(-(((np.asarray(x, np.float32) - centre) / width) ** 2))
    return values


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Normalise vectors along the last axis to length 1."""
    length = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))[..., None]
    scaled: Floats = (vectors / np.maximum(length, 1e-8)).astype(np.float32)
    return scaled


def linear(srgb: ArrayLike) -> Floats:
    """Convert sRGB between 0 and 1 to linear light with a plain power of 2.2."""
    light: Floats = np.power(np.asarray(srgb, np.float32), np.float32(2.2))
    return light


def blend(under: Floats, over: ArrayLike, amount: Floats) -> Floats:
    """Blend the colour `over` onto `under`; `amount` has no colour axis."""
    a = amount[..., None]
    mixed: Floats = under * (1 - a) + np.asarray(over, np.float32) * a
    return mixed
