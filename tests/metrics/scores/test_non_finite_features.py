"""No metric makes a number of features that are not finite; a new metric is tested here by itself."""

import importlib
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


class Faulty:
    """Every kind of encoder in one; its numbers for one picture, or the like face crop, are not finite."""

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

    def read(self, texts: Sequence[str]) -> Features:
        return np.ones((len(texts), 2))

    def boxes(self, images: Sequence[Image.Image]) -> list[list[tuple[float, float, float, float]]]:
        return [[(0.0, 0.0, 8.0, 8.0)] for _ in images]

    def describe(self, images: Sequence[Image.Image]) -> list[dict[str, str]]:
        return [{} if image is BROKEN else {"hat": "red"} for image in images]


REAL = [RealPhoto(f"p{i % 20}", WHOLE) for i in range(60)]
TARGETS = sorted({entry.target for entry in METRICS.values()})


def samples() -> list[Sample]:
    """One picture that the encoder has no numbers for, and two that it has."""
    photos: dict[str, Any] = {
        "held_out": (WHOLE,),
        "references": (WHOLE,),
        "own": WHOLE,
        "expected_attributes": {"hat": "red"},
    }
    return [
        Sample(f"s{i}", "ada", "p", image, "", **photos)
        for i, image in enumerate((BROKEN, WHOLE, WHOLE.copy()))
    ]


def made(target: str, fault: float, columns: int = 1) -> Any:
    module, _, name = target.partition(":")
    parts = next(len(entry.parts) for entry in METRICS.values() if entry.target == target)
    return getattr(importlib.import_module(module), name)(*(Faulty(fault, columns) for _ in range(parts + 1)))


@pytest.mark.parametrize("fault", [np.nan, np.inf])
@pytest.mark.parametrize("target", TARGETS)
def test_numbers_that_are_not_finite_give_a_reason_and_never_a_number(target: str, fault: float) -> None:
    metric = made(target, fault)
    if hasattr(metric, "measure"):
        images = [BROKEN, *[WHOLE] * 79]
        broken, whole = metric.features(images), metric.features(images[1:])
        if not isinstance(metric, Inception):
            assert "1 of 80 real pictures: the network's" in metric.measure(whole, broken).reason
        score = metric.measure(broken, whole)
        assert score.value is None
        assert score.reason == "1 of 80 generated pictures: the network's numbers are not finite"
        return
    first, *others = metric.score(samples(), REAL)
    assert all(score.value is not None and np.isfinite(score.value) for score in others), others
    if metric.name not in ("detected", "multi-face"):
        assert first.value is None
        assert "not finite" in first.reason


@pytest.mark.parametrize("name", ["Diversity", "FaceDiversity", "NearestReference"])
def test_maps_of_nothing_but_nan_are_no_missing_face(name: str) -> None:
    """Only a face encoder says by such a row that it saw no face."""
    first, *others = made(f"metrics.scores.diversity:{name}", np.nan, columns=2).score(samples(), REAL)
    assert first == Score(None, "the network's numbers are not finite")
    assert all(score.value is not None for score in others)


@pytest.mark.parametrize("target", [t for t in TARGETS if t.startswith("metrics.scores.identity:")])
def test_a_held_out_photograph_without_sound_numbers_is_no_missing_face(target: str) -> None:
    metric = made(target, np.inf)
    if metric.name in ("detected", "multi-face"):
        return
    sample = Sample("s", "ada", "p", WHOLE, "", held_out=(BROKEN,), references=(WHOLE,))
    (score,) = metric.score([sample], REAL)
    assert score.value is None
    assert score.reason == "held-out photographs: the network's numbers are not finite"
