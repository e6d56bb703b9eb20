"""Real photographs in the place of pictures, and stored pictures with what a metric may know."""

from pathlib import Path

import pytest

from bench.datasets.registry import open_people
from bench.scoring.samples import IdentityImages, calibration, load_identity_images, real_other, real_same
from bench.suite.suite import DatasetSettings


@pytest.fixture
def identity_images(people: Path) -> dict[str, IdentityImages]:
    settings = DatasetSettings("folder", "people", references=2, held_out=3)
    return load_identity_images(open_people(settings, people.parent).chosen)


def test_a_real_photo_is_judged_by_the_others_never_by_itself(
    identity_images: dict[str, IdentityImages],
) -> None:
    judged = list(real_same(identity_images))
    assert len(judged) == 3 * 3
    for one in judged:
        assert one.sample.image not in one.sample.held_out
        assert len(one.sample.held_out) == 2
        assert one.sample.image in identity_images[one.sample.identity].held_out


def test_a_strangers_photo_stands_under_this_persons_caption(
    identity_images: dict[str, IdentityImages],
) -> None:
    judged = list(real_other(identity_images))
    assert len(judged) == 3 * 3
    for one, own in zip(judged, real_same(identity_images), strict=True):
        assert one.sample.identity == own.sample.identity
        assert one.sample.image not in identity_images[one.sample.identity].held_out
        assert one.sample.held_out == identity_images[one.sample.identity].held_out
        assert one.sample.prompt == own.sample.prompt


def test_one_person_has_no_stranger(identity_images: dict[str, IdentityImages]) -> None:
    assert list(real_other({"ada": identity_images["ada"]})) == []


def test_prompts_hold_the_plain_noun_and_no_slot(identity_images: dict[str, IdentityImages]) -> None:
    assert all(
        "a person" in one.sample.prompt and "{" not in one.sample.prompt for one in real_same(identity_images)
    )


def test_calibration_holds_every_held_out_photo_and_no_reference(
    identity_images: dict[str, IdentityImages],
) -> None:
    photos = calibration(identity_images)
    assert len(photos) == 9
    for album in identity_images.values():
        assert not any(photo.image in album.references for photo in photos)
