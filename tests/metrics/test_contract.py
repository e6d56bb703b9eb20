"""What every metric owes its reader; a new metric is tested here without a line being added."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metrics.catalog import METRICS, make
from metrics.interface import RealPhoto, Sample, SampleMetric, Score, SetMetric

EMBEDDED = [name for name, entry in METRICS.items() if not entry.needs]
SAMPLE_METRICS, SET_METRICS = make(EMBEDDED)


def column(metric: SampleMetric | SetMetric) -> str:
    return f"{metric.name}@{metric.encoder}"


def scores(metric: SampleMetric, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
    found = metric.score(samples, real)
    assert len(found) == len(samples)
    return found


def alike(one: Score, other: Score, tolerance: float) -> bool:
    """Equal reasons, or numbers equal to this share (and to a hundredth of it near zero)."""
    if one.value is None or other.value is None:
        return one == other
    return bool(one.value == pytest.approx(other.value, rel=tolerance, abs=tolerance / 100))


def black(sample: Sample) -> Sample:
    return replace(sample, image=Image.new("RGB", sample.image.size))


@pytest.fixture(scope="module")
def group(portraits: list[Sample]) -> list[Sample]:
    """The portraits with a picture in their midst that shows nothing."""
    return [*portraits[:4], replace(black(portraits[4]), id="black"), *portraits[5:]]


def sample_metrics() -> Any:
    return pytest.mark.parametrize("metric", SAMPLE_METRICS, ids=column)


def set_metrics() -> Any:
    return pytest.mark.parametrize("metric", SET_METRICS, ids=column)


def test_the_catalogue_says_what_the_metric_says() -> None:
    for metric in [*SAMPLE_METRICS, *SET_METRICS]:
        assert METRICS[column(metric)].better == metric.better
        assert metric.fingerprint
        assert all(isinstance(part, str) for item in metric.fingerprint.items() for part in item)


@sample_metrics()
def test_a_score_is_a_finite_number_or_a_reason(
    metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    for score in scores(metric, group, real_photos):
        assert (score.value is None) == bool(score.reason)
        assert score.value is None or np.isfinite(score.value)


@sample_metrics()
def test_no_score_depends_on_order(
    metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    plain = scores(metric, group, real_photos)
    turned = scores(metric, group[::-1], real_photos[::-1])[::-1]
    for one, other in zip(plain, turned, strict=True):
        assert alike(one, other, 1e-9)


@sample_metrics()
def test_no_score_depends_on_what_else_is_judged_but_for_its_own_group(
    metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    """A freshly made metric, which remembers nothing, sees one person's pictures alone."""
    (alone,), _ = make([column(metric)])
    person = group[0].identity
    own = [i for i, sample in enumerate(group) if sample.identity == person]
    together = scores(metric, group, real_photos)
    apart = scores(alone, [group[i] for i in own], real_photos)
    for i, score in zip(own, apart, strict=True):
        assert alike(score, together[i], 1e-3)


@sample_metrics()
def test_no_pictures_have_no_scores(metric: SampleMetric, real_photos: list[RealPhoto]) -> None:
    assert scores(metric, [], real_photos) == []


NEEDS_A_FACE = [
    m for m in SAMPLE_METRICS if m.name in ("identity", "copying", "bleed", "multi-face", "face-diversity")
]


@pytest.mark.parametrize("metric", NEEDS_A_FACE, ids=column)
def test_a_picture_without_a_face_gets_the_reason(
    metric: SampleMetric, group: list[Sample], real_photos: list[RealPhoto]
) -> None:
    found = scores(metric, group, real_photos)
    assert found[4] == Score(None, "no face found")
    assert sum(score.value is None for score in found) == 1


GOOD_AND_BAD = {
    "identity": "the person, or somebody else",
    "identity-zero": "the person, or somebody else",
    "verified": "the person, or somebody else",
    "bleed": "the person, or somebody else",
    "drift": "the backbone's own, or another",
    "copying": "an unseen photograph, or a seen one",
    "nearest-reference": "an unseen photograph, or a seen one",
    "prompt-match": "what is asked, or something else",
    "detected": "a person, or nothing",
    "multi-face": "one person, or two",
    "diversity": "different pictures, or the same",
    "face-diversity": "different pictures, or the same",
}


def good_and_bad(kind: str, portraits: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    shifted = [*portraits[3:], *portraits[:3]]
    match kind:
        case "the person, or somebody else":
            return portraits, [replace(a, image=b.image) for a, b in zip(portraits, shifted, strict=True)]
        case "an unseen photograph, or a seen one":
            return portraits, [replace(a, image=a.references[0]) for a in portraits]
        case "what is asked, or something else":
            return portraits, [
                replace(a, expected_attributes=b.expected_attributes)
                for a, b in zip(portraits, shifted, strict=True)
            ]
        case "the backbone's own, or another":
            return [replace(a, image=a.own or a.image) for a in portraits], portraits
        case "a person, or nothing":
            return portraits, [black(a) for a in portraits]
        case "one person, or two":
            return portraits, [
                replace(a, image=beside(a, b)) for a, b in zip(portraits, shifted, strict=True)
            ]
        case _:
            return portraits, [replace(a, image=portraits[0].image) for a in portraits]


def beside(a: Sample, b: Sample) -> Image.Image:
    both = Image.new("RGB", (128, 128))
    both.paste(a.image, (0, 32))
    both.paste(b.image, (64, 32))
    return both


@sample_metrics()
def test_better_pictures_score_better(
    metric: SampleMetric, portraits: list[Sample], real_photos: list[RealPhoto]
) -> None:
    assert metric.name in GOOD_AND_BAD, "say in GOOD_AND_BAD what this metric should prefer"
    good, bad = (
        np.mean([s.value for s in scores(metric, samples, real_photos) if s.value is not None])
        for samples in good_and_bad(GOOD_AND_BAD[metric.name], portraits)
    )
    assert good < bad if metric.better == "lower" else good > bad


@pytest.fixture(scope="module")
def pictures(portraits: list[Sample], real_photos: list[RealPhoto]) -> list[Image.Image]:
    return [*(sample.image for sample in portraits), *(photo.image for photo in real_photos)]


@set_metrics()
def test_features_are_one_finite_row_per_picture(metric: SetMetric, pictures: list[Image.Image]) -> None:
    features = metric.features(pictures)
    assert len(features) == len(pictures)
    assert np.isfinite(features).all()


@set_metrics()
def test_a_sets_number_is_blind_to_order_and_repeats(metric: SetMetric, pictures: list[Image.Image]) -> None:
    features = np.tile(metric.features(pictures), (4, 1))
    # Copies of a picture lie apart by more than rounding, which may go by the place in memory.
    features = features * (1 + 1e-2 * np.random.default_rng(0).random(features.shape))
    features /= features.sum(1, keepdims=True) if metric.name.startswith("is") else 1
    generated, real = features[:120], features[20:]
    plain, again = (metric.measure(generated, real) for _ in range(2))
    assert plain == again
    assert plain.value is not None, plain.reason
    if metric.name not in ("fid-infinity",):
        turned = metric.measure(generated[::-1], real[::-1])
        assert turned.value == pytest.approx(plain.value, rel=1e-6, abs=1e-9)


@set_metrics()
def test_one_picture_is_no_set(metric: SetMetric, pictures: list[Image.Image]) -> None:
    features = metric.features(pictures)
    if metric.name != "is-uniform":
        score = metric.measure(features[:1], features)
        assert score.value is None
        assert "1 " in score.reason
    assert metric.measure(features[:0], features).value is None


BLIND_TO_VARIETY = ("precision", "density", "is-uniform")
"""By their definitions."""


@pytest.mark.parametrize("metric", [m for m in SET_METRICS if m.name not in BLIND_TO_VARIETY], ids=column)
def test_a_collapsed_set_scores_worse_than_a_varied_one(
    metric: SetMetric, pictures: list[Image.Image]
) -> None:
    features = metric.features(pictures + pictures[:12])
    half = len(features) // 2
    generated, real = (np.concatenate([part] * 4) for part in (features[half:], features[:half]))
    collapsed = np.repeat(features[:1], len(generated), axis=0)
    wide = metric.measure(generated, real).value
    narrow = metric.measure(collapsed, real).value
    assert wide is not None
    assert narrow is not None
    assert wide > narrow if metric.better == "higher" else wide < narrow
