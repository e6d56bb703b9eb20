"""measure_autoencoder.py: known errors of pixels and faces."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "results" / "scripts"))
measure_autoencoder = importlib.import_module("measure_autoencoder")


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (level, level, level))


def test_psnr_of_a_known_error() -> None:
    """A fifth of the range everywhere."""
    assert measure_autoencoder.psnr([Image.new("L", (4, 4), 51)], [Image.new("L", (4, 4), 0)]) == [
        pytest.approx(-20 * np.log10(0.2))
    ]


def test_faces_are_compared_in_pairs_and_missing_ones_left_out() -> None:
    vectors = {0: [1.0, 0.0], 1: [0.0, 1.0], 2: [float("nan")] * 2, 3: [1.0, 1.0]}

    def encode(images: Sequence[Image.Image]) -> np.ndarray:
        return np.array([vectors[image.getpixel((0, 0))[0]] for image in images])

    network, people = SimpleNamespace(encode=encode), np.array([0, 0, 1])
    images, references = [grey(0), grey(1), grey(2)], [grey(0), grey(3), grey(0)]
    found = measure_autoencoder.face_similarity(network, images, references, people)
    assert found.value == pytest.approx((1 + 0.5**0.5) / 2)
    assert found.n == 2
