"""MobileFaceNet: the shipped file gives the numbers of the published one, and separates people."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metrics.encoders.faces.mobilefacenet import MobileFaceNet
from metrics.encoders.faces.yunet import YuNet
from metrics.interface import MetricError, Sample

LITERT = [0.0250309, 0.56025535, 0.28412977, -0.09552343, -1.1356106, -0.7859465]
"""The start of the output of the published file in LiteRT 2 for `pattern`; it has length 22.488678."""


@pytest.fixture(scope="module")
def network() -> MobileFaceNet:
    return MobileFaceNet(YuNet())


def pattern() -> np.ndarray:
    """An image of 112 x 112 x 3 with different rows, columns and channels."""
    y, x, channel = np.mgrid[:112, :112, :3]
    return ((3 * y + 5 * x + 40 * channel + x * y // 16) % 256).astype(np.uint8)


def test_the_output_equals_that_of_the_published_file(network: MobileFaceNet) -> None:
    (vector,) = network.vectors(pattern())
    assert vector.shape == (MobileFaceNet.width,)
    assert vector[:6] == pytest.approx(LITERT, abs=1e-4)
    assert float(np.linalg.norm(vector)) == pytest.approx(22.488678, abs=1e-3)


def test_vectors_are_unit_rows_that_separate_people_and_nan_without_a_face(
    network: MobileFaceNet, portraits: list[Sample]
) -> None:
    vectors = network.encode([*(sample.image for sample in portraits), Image.new("RGB", (64, 64))])
    assert np.isnan(vectors[-1]).all()
    vectors = vectors[:-1]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(portraits)))
    people = np.array([sample.identity for sample in portraits])
    cosines = vectors @ vectors.T
    same = (people[:, None] == people) & ~np.eye(len(people), dtype=bool)
    assert cosines[same].mean() > cosines[people[:, None] != people].mean() + 0.2


def test_any_other_file_requires_its_digest(network: MobileFaceNet, tmp_path: Path) -> None:
    path = tmp_path / "mobilefacenet.onnx"
    path.write_bytes(b"another network")
    with pytest.raises(MetricError, match=r"expected 140367119b7b\.\.\.; .* or set `digest`"):
        MobileFaceNet(network.yunet, path)
