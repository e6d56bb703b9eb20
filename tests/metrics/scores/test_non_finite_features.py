"""No metric returns a number for non-finite features; new metrics are tested without a change here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metrics.catalog import METRICS
from metrics.encoders.runtime.image_cache import content_key
from metrics.interface import Features, RealPhoto, Sample, Score
from metrics.scores.distribution import Inception

BROKEN, WHOLE = Image.new("RGB", (8, 8), (9, 0, 0)), Image.new("RGB", (8, 8), (0, 9, 0))


class FaultyEncoder:
    """Every kind of encoder in one; its output for BROKEN, or a face crop of it, is not finite."""

    name = "faulty"
    classes: Mapping[str, Sequence[str]] = {"hat": ("none", "red")}
    fingerprint: Mapping[str, str] = {}

    def __init__(self, fault: float, columns: int) -> None:
        self.fault = fault
        self.columns = columns

    def encode(self, images: Sequence[Image.Image]) -> Features:
        rows = np.tile([0.25, 0.75], (len(images), 1)) + np.arange(len(images))[:, None] * [1e-3, -1e-3]
        small = [image.resize((8, 8), Image.Resampling.NEAREST) for image in images]
        broken = [content_key(image) == content_key(BROKEN) for image in small]
        rows[broken, : self.columns] = self.fault
        return rows

    embed = probabilities = encode

    def encode_texts(self, texts: Sequence[str]) -> Features:
        return np.ones((len(texts), 2))

    def boxes(self, images: Sequence[Image.Image]) -> list[list[tuple[float, float, float, float]]]:
        return [[(0.0, 0.0, 8.0, 8.0)] for _ in images]

    def describe(self, images: Sequence[Image.Image]) -> list[dict[str, str]]:
        return [{} if image is BROKEN else {"hat": "red"} for image in images]


REAL = [RealPhoto(f"p{i % 20}", WHOLE) for i in range(60)]
CLASSES = {entry.metric.__name__: entry for entry in METRICS.values()}


def samples() -> list[Sample]:
    """One image with non-finite features, and two with finite ones."""
    photos: dict[str, Any] = {
        "held_out": (WHOLE,),
        "references": (WHOLE,),
        "backbone_image": WHOLE,
        "expected_attributes": {"hat": "red"},
    }
    return [
        Sample(f"s{i}", "ada", "p", image, "", **photos)
        for i, image in enumerate((BROKEN, WHOLE, WHOLE.copy()))
    ]


def faulty_metric(name: str, fault: float, columns: int = 1) -> Any:
    entry = CLASSES[name]
    encoders: list[Any] = [FaultyEncoder(fault, columns) for _ in (entry.encoder, *entry.parts)]
    return entry.metric(*encoders)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_non_finite_features_give_a_reason_instead_of_a_number(name: str, fault: float) -> None:
    metric = faulty_metric(name, fault)
    if hasattr(metric, "measure"):
        images = [BROKEN, *[WHOLE] * 79]
        broken, whole = metric.features(images), metric.features(images[1:])
        if not isinstance(metric, Inception):
            assert "1 of 80 real images: the network's output" in metric.measure(whole, broken).reason
        score = metric.measure(broken, whole)
        assert score.value is None
        assert score.reason == "1 of 80 generated images: the network's output is not finite"
        return
    first, *others = metric.score(samples(), REAL)
    assert all(score.value is not None and np.isfinite(score.value) for score in others), others
    if metric.name not in ("detected", "multi-face"):
        assert first.value is None
        assert "not finite" in first.reason


@pytest.mark.parametrize("name", ["Diversity", "FaceDiversity", "NearestReference"])
def test_feature_maps_of_nan_are_not_reported_as_a_missing_face(name: str) -> None:
    """Only for face encoders does such a row mean that there is no face."""
    first, *others = faulty_metric(name, np.nan, columns=2).score(samples(), REAL)
    assert first == Score(None, "the network's output is not finite")
    assert all(score.value is not None for score in others)


@pytest.mark.parametrize("name", ["Identity", "IdentityZero", "Verified", "Copying"])
def test_a_non_finite_held_out_photograph_is_not_reported_as_a_missing_face(name: str) -> None:
    metric = faulty_metric(name, np.inf)
    sample = Sample("s", "ada", "p", WHOLE, "", held_out=(BROKEN,), references=(WHOLE,))
    (score,) = metric.score([sample], REAL)
    assert score.value is None
    assert score.reason == "held-out photographs: the network's output is not finite"
