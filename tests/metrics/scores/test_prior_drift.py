"""Drift and bleed: class images compared with those of the backbone."""

from dataclasses import replace

import pytest
from PIL import Image

from metrics.catalog import make
from metrics.interface import Sample, SampleMetric, Score, needs_backbone, of_priors
from metrics.scores.prior_drift import NO_OWN, Bleed, Drift
from metrics.statistics.pairwise_distance import squared_distances


@pytest.fixture(scope="module")
def drift() -> SampleMetric:
    (metric,), _ = make(["drift@efficientnet-lite0"])
    return metric


@pytest.fixture(scope="module")
def bleed() -> SampleMetric:
    (metric,), _ = make(["bleed@face-rendered"])
    return metric


@pytest.fixture(scope="module")
def others(portraits: list[Sample]) -> list[Sample]:
    """Six portraits, each with another person's portrait as the image of the backbone."""
    return [replace(a, backbone_image=b.image) for a, b in zip(portraits[:6], portraits[6:12], strict=True)]


def test_both_metrics_score_class_images(drift: SampleMetric, bleed: SampleMetric) -> None:
    assert isinstance(drift, Drift)
    assert isinstance(bleed, Bleed)
    assert of_priors(drift)
    assert of_priors(bleed)


def test_disruption_scores_images_of_the_subject_and_needs_those_of_the_backbone(
    drift: SampleMetric, others: list[Sample]
) -> None:
    (disruption,), _ = make(["disruption@efficientnet-lite0"])
    assert not of_priors(disruption)
    assert needs_backbone(disruption)
    assert not needs_backbone(drift)
    assert disruption.score(others, []) == drift.score(others, [])
    assert disruption.score([replace(others[0], backbone_image=None)], []) == [Score(None, NO_OWN)]


def test_an_image_identical_to_that_of_the_backbone_has_a_disruption_of_exactly_0(
    others: list[Sample],
) -> None:
    (disruption,), _ = make(["disruption@efficientnet-lite0"])
    copies = [replace(sample, backbone_image=sample.image.copy()) for sample in others]
    assert {score.value for score in disruption.score(copies, [])} == {0.0}
    changed = others[0].image.copy()
    changed.putpixel((0, 0), (255, 0, 255))
    (score,) = disruption.score([replace(copies[0], image=changed)], [])
    assert (score.value or 0) > 0


def test_drift_is_the_perceptual_distance_of_the_two_images(
    drift: SampleMetric, others: list[Sample]
) -> None:
    network = drift.network  # type: ignore[attr-defined]
    for sample, score in zip(others, drift.score(others, []), strict=True):
        apart = squared_distances(network.embed([sample.image, sample.backbone_image]))[0, 1]
        assert score.value == pytest.approx(apart, rel=1e-6)


def test_the_image_of_the_backbone_has_neither_drift_nor_bleed(
    drift: SampleMetric, bleed: SampleMetric, others: list[Sample]
) -> None:
    same = [replace(sample, backbone_image=sample.image) for sample in others]
    assert {score.value for score in drift.score(same, [])} == {0.0}
    assert {score.value for score in bleed.score(same, [])} == {0.0}


def test_bleed_is_positive_towards_the_subject_and_negative_away_from_it(
    bleed: SampleMetric, others: list[Sample]
) -> None:
    towards = [score.value for score in bleed.score(others, [])]
    swapped = [
        replace(sample, image=sample.backbone_image, backbone_image=sample.image)
        for sample in others
        if sample.backbone_image
    ]
    away = [score.value for score in bleed.score(swapped, [])]
    assert all(value is not None and value > 0.3 for value in towards)
    assert towards == pytest.approx([-value for value in away if value is not None])


def test_an_image_without_one_of_the_backbone_has_a_reason(
    drift: SampleMetric, bleed: SampleMetric, others: list[Sample]
) -> None:
    alone = [replace(others[0], backbone_image=None), others[1]]
    for metric in (drift, bleed):
        first, second = metric.score(alone, [])
        assert first == Score(None, NO_OWN)
        assert second.value is not None


def test_the_reason_names_the_image_without_a_face(bleed: SampleMetric, others: list[Sample]) -> None:
    black = Image.new("RGB", (64, 64))
    generated, own = bleed.score(
        [replace(others[0], image=black), replace(others[0], backbone_image=black)], []
    )
    assert generated == Score(None, "no face found")
    assert own == Score(None, "the backbone's own image: no face found")
