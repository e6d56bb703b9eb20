"""Evaluation samples of real photographs."""

from pathlib import Path

import pytest

from bench.datasets.registry import open_people
from bench.scoring.samples import (
    IdentityImages,
    calibration_photos,
    load_identity_images,
    real_other,
    real_same,
)
from bench.suite.suite import DatasetSettings, Suite


@pytest.fixture
def identity_images(people: Path) -> dict[str, IdentityImages]:
    settings = DatasetSettings("folder", "people", references=2, held_out=3)
    suite = Suite("faces", settings, metrics=())
    return load_identity_images(open_people(settings, people.parent).chosen, suite)


def test_real_photo_is_compared_with_other_photos_only(
    identity_images: dict[str, IdentityImages],
) -> None:
    samples = list(real_same(identity_images))
    assert len(samples) == 3 * 3
    for one in samples:
        assert one.sample.image not in one.sample.held_out
        assert len(one.sample.held_out) == 2
        assert one.sample.image in identity_images[one.sample.identity].held_out


def test_photo_of_another_person_gets_this_persons_caption(
    identity_images: dict[str, IdentityImages],
) -> None:
    samples = list(real_other(identity_images))
    assert len(samples) == 3 * 3
    for one, own in zip(samples, real_same(identity_images), strict=True):
        assert one.sample.identity == own.sample.identity
        assert one.sample.image not in identity_images[one.sample.identity].held_out
        assert one.sample.held_out == identity_images[one.sample.identity].held_out
        assert one.sample.prompt == own.sample.prompt


def test_single_identity_has_no_photo_of_another_person(identity_images: dict[str, IdentityImages]) -> None:
    assert list(real_other({"ada": identity_images["ada"]})) == []


def test_prompts_contain_the_plain_noun_and_no_slot(identity_images: dict[str, IdentityImages]) -> None:
    assert all(
        "a person" in one.sample.prompt and "{" not in one.sample.prompt for one in real_same(identity_images)
    )


def test_calibration_contains_every_held_out_photo_and_no_reference(
    identity_images: dict[str, IdentityImages],
) -> None:
    photos = calibration_photos(identity_images)
    assert len(photos) == 9
    for images in identity_images.values():
        assert not any(photo.image in images.references for photo in photos)
