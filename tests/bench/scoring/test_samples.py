"""Evaluation samples of real photographs."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets.registry import open_people
from bench.scoring.samples import (
    MAX_OTHERS,
    EvaluationSample,
    IdentityImages,
    calibration_photos,
    in_parts,
    load_identity_images,
    real_other,
    real_same,
)
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.suite import DatasetSettings, Suite
from metrics.interface import Sample


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


def test_photos_of_every_other_person_get_each_caption(identity_images: dict[str, IdentityImages]) -> None:
    samples = list(real_other(identity_images))
    assert len(samples) == 3 * 3 * 2
    captions = {(own.sample.identity, own.prompt): own.sample.prompt for own in real_same(identity_images)}
    for one in samples:
        assert owner(one.sample.image, identity_images) != one.sample.identity
        assert one.sample.held_out == identity_images[one.sample.identity].held_out
        assert one.sample.prompt == captions[one.sample.identity, one.prompt]
    assert len({one.sample.id for one in samples}) == len(samples)
    places = [(one.sample.identity, one.prompt, one.sample_number) for one in samples]
    assert len(set(places)) == len(places)
    assert Counter(place[:2] for place in places) == dict.fromkeys(captions, 2)


def owner(image: Image.Image, identities: dict[str, IdentityImages]) -> str:
    return next(who for who, images in identities.items() if image in images.held_out)


def people_of(nouns: str, held_out: int = 8) -> dict[str, IdentityImages]:
    """One person for each letter, `m` or `w`, with photographs that differ."""
    found = {}
    for number, letter in enumerate(nouns):
        photos = tuple(PhotoFile(Path(f"{i}.png"), "{subject}") for i in range(held_out))
        who = Identity(f"p{number:02}", {"m": "man", "w": "woman"}[letter], (), photos)
        images = tuple(Image.new("RGB", (4, 4), (number, i, 0)) for i in range(held_out))
        found[who.id] = IdentityImages(who, (), images, {})
    return found


def pairs_of(identities: dict[str, IdentityImages]) -> Counter[tuple[str, str]]:
    return Counter(
        (one.sample.identity, owner(one.sample.image, identities)) for one in real_other(identities)
    )


def test_all_pairs_of_the_same_noun_occur_equally_often() -> None:
    pairs = pairs_of(people_of("mmmmwwww"))
    nouns = {f"p{i:02}": letter for i, letter in enumerate("mmmmwwww")}
    expected = {(a, b) for a in nouns for b in nouns if a != b and nouns[a] == nouns[b]}
    assert set(pairs) == expected
    assert max(pairs.values()) - min(pairs.values()) <= 1


def test_the_number_of_samples_is_bounded_and_equal_for_every_caption() -> None:
    pairs = pairs_of(people_of("m" * 16 + "w" * 5))
    assert sum(pairs.values()) == 21 * 8 * MAX_OTHERS
    assert len(pairs) == 16 * 15 + 5 * 4
    assert max(pairs.values()) - min(pairs.values()) <= 6


def test_a_person_whose_noun_nobody_shares_is_compared_with_all_others() -> None:
    pairs = pairs_of(people_of("mwww"))
    assert {other for who, other in pairs if who == "p00"} == {"p01", "p02", "p03"}
    assert {other for who, other in pairs if who == "p01"} == {"p02", "p03"}


def test_photos_of_different_people_are_never_compared_with_one_another() -> None:
    """Metrics of several images compare those of one person and prompt."""
    samples = [one.sample for one in real_other(people_of("mmmm"))]
    assert len({(sample.identity, sample.prompt_id) for sample in samples}) == len(samples)


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


def evaluation_sample(who: str, number: int) -> EvaluationSample:
    image = Image.new("RGB", (10, 10))
    return EvaluationSample(Sample(f"{who}/{number}", who, "p", image, "a photo"), "free", number, "p")


def test_parts_contain_whole_people_and_about_the_given_bytes() -> None:
    samples = [evaluation_sample(who, number) for who in "abcd" for number in (1, 2)]
    found = [[one.sample.identity for one in part] for part in in_parts(iter(samples), 301)]
    assert found == [["a", "a"], ["b", "b"], ["c", "c"], ["d", "d"]]
    found = [[one.sample.identity for one in part] for part in in_parts(iter(samples), 601)]
    assert found == [["a", "a", "b", "b"], ["c", "c", "d", "d"]]
    assert [len(part) for part in in_parts(samples)] == [8]
    assert list(in_parts([])) == []
