"""The contract of every metric; a new metric is tested here without a change to this file."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from metrics.catalog import METRICS, make
from metrics.interface import RealPhoto, Sample, SampleMetric, Score, SetMetric

AVAILABLE = {
    name: entry.metric
    for name, entry in METRICS.items()
    if not entry.needs and entry.encoder != "inception-v3"
}
"""Metrics whose encoders need no further files; without Inception-v3, which takes 0.1 s per image."""
SET_METRICS = [name for name, metric in AVAILABLE.items() if hasattr(metric, "measure")]
SAMPLE_METRICS = [name for name in AVAILABLE if name not in SET_METRICS]
Built = dict[str, SampleMetric | SetMetric]


@pytest.fixture(scope="module")
def built() -> Built:
    """All available metrics, with shared encoders."""
    samples, sets = make([*SAMPLE_METRICS, *SET_METRICS])
    return dict(zip([*SAMPLE_METRICS, *SET_METRICS], [*samples, *sets], strict=True))


@pytest.fixture(params=SAMPLE_METRICS)
def sample_metric(request: pytest.FixtureRequest, built: Built) -> SampleMetric:
    metric: SampleMetric = built[request.param]  # type: ignore[assignment]
    return metric


@pytest.fixture(params=SET_METRICS)
def set_metric(request: pytest.FixtureRequest, built: Built) -> SetMetric:
    metric: SetMetric = built[request.param]  # type: ignore[assignment]
    return metric


def scores(metric: SampleMetric, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
    found = metric.score(samples, real)
    assert len(found) == len(samples)
    return found


def approximately_equal(one: Score, other: Score, tolerance: float) -> bool:
    """Equal reasons, or numbers equal to this share (and to a hundredth of it near zero)."""
    if one.value is None or other.value is None:
        return one == other
    return bool(one.value == pytest.approx(other.value, rel=tolerance, abs=tolerance / 100))


def black(sample: Sample) -> Sample:
    return replace(sample, image=Image.new("RGB", sample.image.size))


@pytest.fixture(scope="module")
def group(portraits: list[Sample]) -> list[Sample]:
    """The portraits, one of them replaced by an empty image."""
    return [*portraits[:4], replace(black(portraits[4]), id="black"), *portraits[5:]]


def test_the_catalogue_agrees_with_the_metrics(built: Built) -> None:
    for name, metric in built.items():
        assert name == f"{metric.name}@{metric.encoder}"
        assert METRICS[name].better == metric.better
        assert metric.fingerprint
        assert all(isinstance(part, str) for item in metric.fingerprint.items() for part in item)


def test_a_score_is_a_finite_number_or_a_reason(
    sample_metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    for score in scores(sample_metric, group, real_photos):
        assert (score.value is None) == bool(score.reason)
        assert score.value is None or np.isfinite(score.value)


def test_no_score_depends_on_order(
    sample_metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    plain = scores(sample_metric, group, real_photos)
    turned = scores(sample_metric, group[::-1], real_photos[::-1])[::-1]
    for one, other in zip(plain, turned, strict=True):
        assert approximately_equal(one, other, 1e-9)


def test_scores_depend_only_on_images_of_the_same_person(
    sample_metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    """A new metric with an empty cache scores the images of one person alone."""
    (alone,), _ = make([f"{sample_metric.name}@{sample_metric.encoder}"])
    person = group[0].identity
    own = [i for i, sample in enumerate(group) if sample.identity == person]
    together = scores(sample_metric, group, real_photos)
    apart = scores(alone, [group[i] for i in own], real_photos)
    for i, score in zip(own, apart, strict=True):
        assert approximately_equal(score, together[i], 1e-3)


def test_no_images_give_no_scores(sample_metric: SampleMetric, real_photos: list[RealPhoto]) -> None:
    assert scores(sample_metric, [], real_photos) == []


NEEDS_A_FACE = (
    "identity",
    "copying",
    "copy-paste",
    "sim-gt",
    "sim-ref",
    "bleed",
    "multi-face",
    "face-diversity",
)


@pytest.mark.parametrize(
    "sample_metric", [name for name in SAMPLE_METRICS if AVAILABLE[name].name in NEEDS_A_FACE], indirect=True
)
def test_an_image_without_a_face_has_a_reason(
    sample_metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    found = scores(sample_metric, group, real_photos)
    assert found[4] == Score(None, "no face found")
    assert sum(score.value is None for score in found) == 1


GOOD_AND_BAD = {
    "identity": "the person, or another person",
    "identity-zero": "the person, or another person",
    "verified": "the person, or another person",
    "verified-fmr5": "the person, or another person",
    "verified-fmr10": "the person, or another person",
    "sim-gt": "the person, or another person",
    "sim-ref": "the person, or another person",
    "bleed": "the person, or another person",
    "drift": "the image of the backbone, or another",
    "disruption": "any image, or that of the backbone",
    "copying": "a held-out photograph, or a reference",
    "copy-paste": "a held-out photograph, or a reference",
    "nearest-reference": "a held-out photograph, or a reference",
    "prompt-match": "the requested attributes, or others",
    "detected": "a person, or an empty image",
    "multi-face": "one person, or two",
    "diversity": "different images, or the same",
    "face-diversity": "different images, or the same",
}


def good_and_bad(kind: str, portraits: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    shifted = [*portraits[3:], *portraits[:3]]
    match kind:
        case "the person, or another person":
            return portraits, [replace(a, image=b.image) for a, b in zip(portraits, shifted, strict=True)]
        case "a held-out photograph, or a reference":
            return portraits, [replace(a, image=a.references[0]) for a in portraits]
        case "the requested attributes, or others":
            return portraits, [
                replace(a, expected_attributes=b.expected_attributes)
                for a, b in zip(portraits, shifted, strict=True)
            ]
        case "the image of the backbone, or another":
            return [replace(a, image=a.backbone_image or a.image) for a in portraits], portraits
        case "any image, or that of the backbone":
            return portraits, [replace(a, image=a.backbone_image or a.image) for a in portraits]
        case "a person, or an empty image":
            return portraits, [black(a) for a in portraits]
        case "one person, or two":
            return portraits, [
                replace(a, image=side_by_side(a, b)) for a, b in zip(portraits, shifted, strict=True)
            ]
        case _:
            return portraits, [replace(a, image=portraits[0].image) for a in portraits]


def side_by_side(a: Sample, b: Sample) -> Image.Image:
    both = Image.new("RGB", (128, 128))
    both.paste(a.image, (0, 32))
    both.paste(b.image, (64, 32))
    return both


def test_better_images_score_better(
    sample_metric: SampleMetric, portraits: list[Sample], real_photos: list[RealPhoto]
) -> None:
    assert sample_metric.name in GOOD_AND_BAD, "add the preference of this metric to GOOD_AND_BAD"
    good, bad = (
        np.mean([s.value for s in scores(sample_metric, samples, real_photos) if s.value is not None])
        for samples in good_and_bad(GOOD_AND_BAD[sample_metric.name], portraits)
    )
    assert good < bad if sample_metric.better == "lower" else good > bad


@pytest.fixture(scope="module")
def images(portraits: list[Sample], real_photos: list[RealPhoto]) -> list[Image.Image]:
    return [*(sample.image for sample in portraits), *(photo.image for photo in real_photos)]


def test_features_are_one_finite_row_per_image(set_metric: SetMetric, images: list[Image.Image]) -> None:
    features = set_metric.features(images)
    assert len(features) == len(images)
    assert np.isfinite(features).all()


def test_set_scores_repeat_and_do_not_depend_on_order(
    set_metric: SetMetric, images: list[Image.Image]
) -> None:
    features = np.tile(set_metric.features(images), (4, 1))
    # Copies must differ by more than rounding, which may depend on the memory layout.
    features = features * (1 + 1e-2 * np.random.default_rng(0).random(features.shape))
    features /= features.sum(1, keepdims=True) if set_metric.name.startswith("is") else 1
    generated, real = features[:120], features[20:]
    plain, again = (set_metric.measure(generated, real) for _ in range(2))
    assert plain == again
    assert plain.value is not None, plain.reason
    if set_metric.name not in ("fid-infinity",):
        turned = set_metric.measure(generated[::-1], real[::-1])
        assert turned.value == pytest.approx(plain.value, rel=1e-6, abs=1e-9)


def test_a_single_image_gives_no_set_score(set_metric: SetMetric, images: list[Image.Image]) -> None:
    features = set_metric.features(images)
    if set_metric.name != "is-uniform":
        score = set_metric.measure(features[:1], features)
        assert score.value is None
        assert "1 " in score.reason
    assert set_metric.measure(features[:0], features).value is None


BLIND_TO_DIVERSITY = ("precision", "density", "is-uniform")
"""By their definitions."""


@pytest.mark.parametrize(
    "set_metric",
    [name for name in SET_METRICS if AVAILABLE[name].name not in BLIND_TO_DIVERSITY],
    indirect=True,
)
def test_a_collapsed_set_scores_worse_than_a_varied_one(
    set_metric: SetMetric, images: list[Image.Image]
) -> None:
    features = set_metric.features(images + images[:12])
    half = len(features) // 2
    generated, real = (np.concatenate([part] * 4) for part in (features[half:], features[:half]))
    collapsed = np.repeat(features[:1], len(generated), axis=0)
    wide = set_metric.measure(generated, real).value
    narrow = set_metric.measure(collapsed, real).value
    assert wide is not None
    assert narrow is not None
    assert wide > narrow if set_metric.better == "higher" else wide < narrow
