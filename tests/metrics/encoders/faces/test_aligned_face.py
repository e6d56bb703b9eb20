"""An encoder of aligned faces: the largest face, unit vectors, NaN without a face."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.faces.aligned_face import AlignedFaceEncoder
from metrics.encoders.faces.alignment import FACE, align
from metrics.encoders.faces.yunet import Face

POINTS = np.array([[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]])


class Finder:
    """Finds two faces in an image of 100 pixels, and none in others."""

    def find(self, images: Sequence[Image.Image]) -> list[tuple[Face, ...]]:
        large, small = (
            Face((10.0, 10.0, 80.0, 80.0), POINTS, 0.9),
            Face((0.0, 0.0, 9.0, 9.0), POINTS / 8, 0.9),
        )
        return [(large, small) if image.width == 100 else () for image in images]


class CentralPixel(AlignedFaceEncoder):
    width = 3

    def vectors(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert face.shape == (FACE, FACE, 3)
        return face[FACE // 2, FACE // 2].reshape(1, 3).astype(np.float32)


def test_vector_is_that_of_the_largest_aligned_face_at_length_1() -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (100, 100, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    found = CentralPixel(Finder()).encode([image, Image.new("RGB", (50, 50))])  # type: ignore[arg-type]
    expected = align(image, POINTS)[FACE // 2, FACE // 2].astype(float)
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected))
    assert np.isnan(found[1]).all()
    assert found.shape == (2, 3)
