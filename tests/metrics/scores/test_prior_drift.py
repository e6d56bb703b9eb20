"""Drift and bleed: somebody else's picture beside the backbone's own."""

from dataclasses import replace

import pytest
from PIL import Image

from metrics.catalog import make
from metrics.interface import Sample, Score
from metrics.scores.prior_drift import NO_OWN, Bleed, Drift
from metrics.statistics.pairwise_distance import pairwise

(DRIFT, BLEED), _ = make(["drift@efficientnet-lite0", "bleed@face-rendered"])


@pytest.fixture(scope="module")
def others(portraits: list[Sample]) -> list[Sample]:
    """Six portraits, each beside another person's, which stands for what the backbone draws."""
    return [replace(a, own=b.image) for a, b in zip(portraits[:6], portraits[6:12], strict=True)]


def test_both_say_that_they_judge_pictures_of_somebody_else() -> None:
    assert isinstance(DRIFT, Drift)
    assert isinstance(BLEED, Bleed)
    assert DRIFT.of_priors
    assert BLEED.of_priors


def test_drift_is_the_perceptual_distance_of_the_two(others: list[Sample]) -> None:
    network = DRIFT.network  # type: ignore[attr-defined]
    for sample, score in zip(others, DRIFT.score(others, []), strict=True):
        apart = pairwise(network.embed([sample.image, sample.own]))[0, 1]
        assert score.value == pytest.approx(apart, rel=1e-6)


def test_the_backbones_own_picture_has_neither_drifted_nor_taken_on_a_face(others: list[Sample]) -> None:
    same = [replace(sample, own=sample.image) for sample in others]
    assert {score.value for score in DRIFT.score(same, [])} == {0.0}
    assert {score.value for score in BLEED.score(same, [])} == {0.0}


def test_bleed_is_above_0_where_somebody_else_becomes_the_subject_and_below_where_it_turns_away(
    others: list[Sample],
) -> None:
    towards = [score.value for score in BLEED.score(others, [])]
    turned = [replace(sample, image=sample.own, own=sample.image) for sample in others if sample.own]
    away = [score.value for score in BLEED.score(turned, [])]
    assert all(value is not None and value > 0.3 for value in towards)
    assert towards == pytest.approx([-value for value in away if value is not None])


def test_a_picture_alone_has_a_reason(others: list[Sample]) -> None:
    alone = [replace(others[0], own=None), others[1]]
    for metric in (DRIFT, BLEED):
        first, second = metric.score(alone, [])
        assert first == Score(None, NO_OWN)
        assert second.value is not None


def test_a_missing_face_is_said_of_the_picture_that_has_none(others: list[Sample]) -> None:
    black = Image.new("RGB", (64, 64))
    drawn, own = BLEED.score([replace(others[0], image=black), replace(others[0], own=black)], [])
    assert drawn == Score(None, "no face found")
    assert own == Score(None, "the backbone's own picture: no face found")
