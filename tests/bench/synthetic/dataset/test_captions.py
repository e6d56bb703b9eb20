from functools import cache
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from bench.synthetic.dataset.captions import (
    HIDDEN_BY_A_HAT,
    caption_template,
    full_subject_phrase,
    mirrored,
    noun_phrase,
    random_caption,
    subject_phrase,
)
from bench.synthetic.parameters.persona import Age, Style, sample_persona
from bench.synthetic.parameters.shot import CLOTH, HatColour, sample_shot
from bench.synthetic.renderer.hair import stays_below_a_hat

MAN = {
    "noun": "man",
    "age": "old",
    "skin": "light",
    "hair": "grey",
    "style": "short",
    "beard": "full",
    "eyes": "blue",
    "expression": "smiling",
    "pose": "left",
    "glasses": "black",
    "hat": "none",
    "shirt": "red",
    "background": "blue",
}


@cache
def drawn(count: int = 300) -> list[dict[str, str]]:
    personas = [sample_persona(seed) for seed in range(count)]
    return [{**p.attributes, **sample_shot(p, view).attributes} for view, p in enumerate(personas)]


def test_the_template_names_everything_in_the_shot() -> None:
    assert caption_template(MAN) == (
        "a photo of {subject}, smiling, wearing black glasses and a red shirt, turned left, blue background"
    )


def test_a_hat_joins_the_list_of_clothes() -> None:
    words = caption_template({**MAN, "hat": "yellow", "expression": "neutral", "pose": "front"})
    assert (
        "neutral expression, wearing black glasses, a yellow hat and a red shirt, facing the camera" in words
    )


def test_the_full_phrase_names_what_is_seen_of_the_person() -> None:
    assert full_subject_phrase(MAN) == "an old man with light skin, short grey hair and a full beard"
    assert noun_phrase(MAN) == "a man"


@pytest.mark.parametrize("style", sorted(HIDDEN_BY_A_HAT))
def test_a_hat_silences_hidden_hair(style: str) -> None:
    hatted = {**MAN, "style": style, "hat": "red"}
    rng = np.random.default_rng(0)
    said = " ".join([full_subject_phrase(hatted), *(random_caption(hatted, rng) for _ in range(300))])
    assert all(word not in said for word in ("hair", "bald", "grey", "bob", style))


def test_what_a_caption_hides_under_a_hat_is_what_the_renderer_hides() -> None:
    kept = {p.style for p in map(sample_persona, range(300)) if stays_below_a_hat(p)}
    assert kept == set(get_args(Style)) - HIDDEN_BY_A_HAT


def test_articles_are_right_for_every_caption() -> None:
    rng = np.random.default_rng(0)
    for attributes in drawn():
        words = random_caption(attributes, rng).replace(",", "").split()
        for article, following in pairwise(words):
            if article in ("a", "an"):
                assert (article == "an") == (following[0] in "aeiou"), words


def test_no_caption_has_an_empty_clause() -> None:
    rng = np.random.default_rng(0)
    for attributes in drawn():
        said = random_caption(attributes, rng)
        assert ", ," not in said
        assert "  " not in said
        assert not said.endswith((",", " ", "with", "wearing"))


def test_no_random_caption_says_what_is_not_so() -> None:
    rng = np.random.default_rng(0)
    for attributes in drawn():
        said = random_caption(attributes, rng)
        if attributes["glasses"] == "none":
            assert "glasses" not in said
        if attributes["hat"] == "none":
            assert "hat" not in said.split()
        if attributes["beard"] == "none":
            assert "beard" not in said
        for age in get_args(Age):
            assert age not in said.split() or age == attributes["age"]
        other = "woman" if attributes["noun"] == "man" else "man"
        assert other not in said.split()


def test_random_captions_leave_things_out_and_the_same_seed_leaves_out_the_same() -> None:
    first = [random_caption(MAN, np.random.default_rng(seed)) for seed in range(50)]
    assert first == [random_caption(MAN, np.random.default_rng(seed)) for seed in range(50)]
    assert len(set(first)) > 20


def test_the_subject_is_sometimes_only_a_person() -> None:
    rng = np.random.default_rng(0)
    phrases = {subject_phrase(MAN, rng) for _ in range(500)}
    assert any("person" in phrase for phrase in phrases)
    assert "a man" in phrases


def test_mirroring_swaps_the_sides_and_twice_is_nothing() -> None:
    assert mirrored(MAN)["pose"] == "right"
    assert mirrored(mirrored(MAN)) == MAN
    assert mirrored({**MAN, "pose": "front"})["pose"] == "front"


@pytest.mark.parametrize("hat", get_args(HatColour)[1:])
def test_every_hat_can_be_coloured(hat: str) -> None:
    assert hat in CLOTH
