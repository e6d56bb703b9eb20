from functools import cache
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from bench.synthetic.dataset.captions import (
    HIDDEN_BY_HAT,
    caption_template,
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
def sampled_attributes(count: int = 300) -> list[dict[str, str]]:
    personas = [sample_persona(seed) for seed in range(count)]
    return [{**p.attributes, **sample_shot(p, view).attributes} for view, p in enumerate(personas)]


def test_template_contains_all_attributes_of_the_shot() -> None:
    assert caption_template(MAN) == (
        "a photo of {subject}, smiling, wearing black glasses and a red shirt, turned left, blue background"
    )


def test_hat_is_added_to_the_list_of_clothes() -> None:
    words = caption_template({**MAN, "hat": "yellow", "expression": "neutral", "pose": "front"})
    assert (
        "neutral expression, wearing black glasses, a yellow hat and a red shirt, facing the camera" in words
    )


def test_noun_phrase_has_an_article() -> None:
    assert noun_phrase(MAN) == "a man"


@pytest.mark.parametrize("style", sorted(HIDDEN_BY_HAT))
def test_hair_hidden_by_a_hat_is_not_mentioned(style: str) -> None:
    hatted = {**MAN, "style": style, "hat": "red"}
    rng = np.random.default_rng(0)
    captions = " ".join(random_caption(hatted, rng) for _ in range(300))
    assert all(word not in captions for word in ("hair", "bald", "grey", "bob", style))


def test_captions_and_renderer_agree_on_hair_hidden_by_a_hat() -> None:
    visible = {p.style for p in map(sample_persona, range(300)) if stays_below_a_hat(p)}
    assert visible == set(get_args(Style)) - HIDDEN_BY_HAT


def test_articles_are_correct_in_every_caption() -> None:
    rng = np.random.default_rng(0)
    for attributes in sampled_attributes():
        words = random_caption(attributes, rng).replace(",", "").split()
        for article, following in pairwise(words):
            if article in ("a", "an"):
                assert (article == "an") == (following[0] in "aeiou"), words


def test_captions_have_no_empty_clause() -> None:
    rng = np.random.default_rng(0)
    for attributes in sampled_attributes():
        caption = random_caption(attributes, rng)
        assert ", ," not in caption
        assert "  " not in caption
        assert not caption.endswith((",", " ", "with", "wearing"))


def test_random_captions_contain_only_true_attributes() -> None:
    rng = np.random.default_rng(0)
    for attributes in sampled_attributes():
        caption = random_caption(attributes, rng)
        if attributes["glasses"] == "none":
            assert "glasses" not in caption
        if attributes["hat"] == "none":
            assert "hat" not in caption.split()
        if attributes["beard"] == "none":
            assert "beard" not in caption
        for age in get_args(Age):
            assert age not in caption.split() or age == attributes["age"]
        other = "woman" if attributes["noun"] == "man" else "man"
        assert other not in caption.split()


def test_random_captions_vary_and_are_reproducible() -> None:
    first = [random_caption(MAN, np.random.default_rng(seed)) for seed in range(50)]
    assert first == [random_caption(MAN, np.random.default_rng(seed)) for seed in range(50)]
    assert len(set(first)) > 20


def test_subject_phrase_is_sometimes_a_person() -> None:
    rng = np.random.default_rng(0)
    phrases = {subject_phrase(MAN, rng) for _ in range(500)}
    assert any("person" in phrase for phrase in phrases)
    assert "a man" in phrases


def test_mirroring_swaps_sides_and_is_its_own_inverse() -> None:
    assert mirrored(MAN)["pose"] == "right"
    assert mirrored(mirrored(MAN)) == MAN
    assert mirrored({**MAN, "pose": "front"})["pose"] == "front"


@pytest.mark.parametrize("hat", get_args(HatColour)[1:])
def test_every_hat_has_a_colour(hat: str) -> None:
    assert hat in CLOTH
