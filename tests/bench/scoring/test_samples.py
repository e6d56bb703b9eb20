"""Real photographs in the place of pictures, and stored pictures with what a metric may know."""

from pathlib import Path

import pytest

from bench.datasets.registry import open_people
from bench.scoring.samples import Album, calibration, open_albums, real_other, real_same
from bench.suite.suite import DatasetSettings


@pytest.fixture
def albums(people: Path) -> dict[str, Album]:
    settings = DatasetSettings("folder", "people", references=2, held_out=3)
    return open_albums(open_people(settings, people.parent).chosen)


def test_a_real_photo_is_judged_by_the_others_never_by_itself(albums: dict[str, Album]) -> None:
    judged = list(real_same(albums))
    assert len(judged) == 3 * 3
    for one in judged:
        assert one.sample.image not in one.sample.held_out
        assert len(one.sample.held_out) == 2
        assert one.sample.image in albums[one.sample.identity].held_out


def test_a_strangers_photo_stands_under_this_persons_caption(albums: dict[str, Album]) -> None:
    judged = list(real_other(albums))
    assert len(judged) == 3 * 3
    for one, own in zip(judged, real_same(albums), strict=True):
        assert one.sample.identity == own.sample.identity
        assert one.sample.image not in albums[one.sample.identity].held_out
        assert one.sample.held_out == albums[one.sample.identity].held_out
        assert one.sample.prompt == own.sample.prompt


def test_one_person_has_no_stranger(albums: dict[str, Album]) -> None:
    assert list(real_other({"ada": albums["ada"]})) == []


def test_prompts_hold_the_plain_noun_and_no_slot(albums: dict[str, Album]) -> None:
    assert all("a person" in one.sample.prompt and "{" not in one.sample.prompt for one in real_same(albums))


def test_calibration_holds_every_held_out_photo_and_no_reference(albums: dict[str, Album]) -> None:
    photos = calibration(albums)
    assert len(photos) == 9
    for album in albums.values():
        assert not any(photo.image in album.references for photo in photos)
