"""Captions from CelebA's labels: grammatical, free of contradictions, and varied."""

import random
import re

import pytest

from bench.datasets.celeba.annotations import ATTRIBUTES
from bench.datasets.celeba.captions import COLOURS, SHAPES, WORN, caption, head_turn

OMITTED = re.compile(r"\b(attractive|young|old|nose|lips|oval|chubby|eyebrows|chin|cheekbones)\b")


def random_caption(seed: int) -> tuple[set[str], str]:
    """Random labels, with about a fifth of them true as in CelebA, and their caption."""
    rng = random.Random(seed)
    labels = {name for name in ATTRIBUTES if rng.random() < 0.22}
    return labels, caption(labels, rng.choice([None, -0.5, -0.2, 0.0, 0.2, 0.5]))


@pytest.mark.parametrize(
    ("labels", "turn", "expected"),
    [
        (set(), None, "a photo of {subject}"),
        ({"Blurry", "Smiling"}, 0.0, "a blurry photo of {subject}, smiling, facing the camera"),
        (
            {"Brown_Hair", "Wavy_Hair", "Bangs", "Smiling", "Mouth_Slightly_Open", "Wearing_Lipstick"},
            0.5,
            "a photo of {subject} with wavy brown hair and bangs, smiling with the mouth open, "
            "wearing lipstick, turned right",
        ),
        (
            {"Male", "Mustache", "Black_Hair", "Wearing_Hat", "Eyeglasses", "Wearing_Necktie"},
            None,
            "a photo of {subject} with black hair, a beard and a moustache, "
            "wearing glasses, a hat and a necktie",
        ),
        ({"Male", "No_Beard", "5_o_Clock_Shadow"}, None, "a photo of {subject} with stubble"),
        ({"Male", "Goatee"}, -0.4, "a photo of {subject} with a goatee, turned left"),
    ],
)
def test_captions_of_typical_labels(labels: set[str], turn: float | None, expected: str) -> None:
    assert caption(labels, turn) == expected


def test_contradictory_labels_are_omitted() -> None:
    assert caption({"Black_Hair", "Blond_Hair", "Straight_Hair", "Wavy_Hair"}) == "a photo of {subject}"
    assert caption({"Male", "No_Beard", "Goatee"}) == "a photo of {subject}"
    assert (
        caption({"Bald", "Bangs", "Blond_Hair", "Male", "No_Beard"})
        == "a photo of {subject} with a bald head"
    )
    assert "bald" not in caption({"Bald", "Wearing_Hat", "Male", "No_Beard"})
    assert caption({"Pale_Skin", "Rosy_Cheeks"}) == "a photo of {subject}"
    assert caption({"Goatee", "Mustache", "5_o_Clock_Shadow"}) == "a photo of {subject}"


def test_captions_are_well_formed_and_omit_unreliable_labels() -> None:
    for seed in range(2000):
        labels, text = random_caption(seed)
        assert text.count("{subject}") == 1
        assert re.fullmatch(r"an? [a-z]*\s?photo of \{subject\}( with [a-z ,-]+)?(, [a-z ,-]+)*", text), text
        assert not OMITTED.search(text), text
        assert not re.search(r"  |,,| ,|and and|and,|with,|\ba [aeiou]", text), text
        assert sum(word in text.split() for word in COLOURS.values()) <= 1, text
        assert not ("bald" in text and "hair" in text), text
        for label, words in WORN.items():
            assert (words in text) == (label in labels), (label, text)
        assert sum(word in text.split() for word in SHAPES.values()) <= 1, text


def test_captions_vary() -> None:
    assert len({random_caption(seed)[1] for seed in range(1000)}) > 900


def test_all_but_the_omitted_labels_change_some_caption() -> None:
    unused = {
        name
        for name in ATTRIBUTES
        if all(
            caption(random_caption(s)[0] - {name}) == caption(random_caption(s)[0] | {name})
            for s in range(100)
        )
    }
    assert unused == {
        *("Arched_Eyebrows", "Attractive", "Big_Lips", "Big_Nose", "Bushy_Eyebrows", "Chubby", "Double_Chin"),
        *("High_Cheekbones", "Narrow_Eyes", "Oval_Face", "Pointy_Nose", "Young"),
    }


def test_head_turn_is_the_relative_offset_of_the_nose() -> None:
    assert head_turn(70, 110, 90) == 0
    assert head_turn(70, 110, 74) == pytest.approx(-0.4)
    assert head_turn(90, 90, 90) is None
