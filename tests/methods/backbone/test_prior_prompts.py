"""Requests without the subject: somebody else, by the personalised model as it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL.Image import Image
from safetensors.numpy import save_file

from methods.backbone.backbone import Backbone
from methods.backbone.images import pictures_of
from methods.catalog import METHODS, make
from methods.interface import Personalised
from methods.subject import FLAW, Request, Subject
from methods.trained_on import data_named

NOBODY = Request("a photo of a woman", 11)
SOMEBODY = Request("a photo of {subject}, smiling", 12)
ADAPTERS = ("ip-adapter", "loo-mean", "loo-attention")
Person = Callable[[str], Personalised]


@pytest.fixture
def person(
    backbone: Backbone, settings: dict[str, dict[str, object]], subject: Subject, tmp_path: Path
) -> Person:
    """A method after fitting the subject."""

    def fitted(name: str) -> Personalised:
        method = make(name, settings.get(name))
        into = tmp_path / name
        into.mkdir()
        method.fit(subject, into, backbone=backbone, seed=5)
        return method.load(into, backbone=backbone)

    return fitted


@pytest.mark.parametrize("name", [*ADAPTERS, "textual-inversion"])
def test_what_leaves_the_backbone_as_it_is_draws_somebody_else_as_the_backbone_does(
    name: str, person: Person, backbone: Backbone
) -> None:
    (own,) = backbone.generate([NOBODY.template], [NOBODY.seed], few=True)
    (drawn,) = person(name).generate([NOBODY])
    assert drawn.tobytes() == own.tobytes()


@pytest.mark.parametrize("name", ADAPTERS)
def test_requests_of_both_kinds_come_back_in_their_order(name: str, person: Person) -> None:
    fitted = person(name)
    apart = [fitted.generate([request])[0].tobytes() for request in (SOMEBODY, NOBODY)]
    mixed = [image.tobytes() for image in fitted.generate([NOBODY, SOMEBODY, NOBODY])]
    assert mixed == [apart[1], apart[0], apart[1]]


def test_somebody_else_is_drawn_once_for_all_adapters(
    person: Person, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone.remembered.clear()
    first = person("text-only").generate([NOBODY, SOMEBODY, NOBODY])
    first[0].putpixel((0, 0), (1, 2, 3))
    asked: list[str] = []
    draw = Backbone.generate

    def watched(self: Backbone, prompts: Sequence[str], *rest: object, **more: object) -> list[Image]:
        asked.extend(prompts)
        return draw(self, prompts, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Backbone, "generate", watched)
    adapter = person("loo-mean")
    (again,) = adapter.generate([NOBODY])
    assert asked == []
    assert again.tobytes() == first[2].tobytes() != first[0].tobytes()
    adapter.generate([replace(NOBODY, seed=12)])
    assert asked == [NOBODY.template]


def test_no_more_pictures_are_kept_than_memory_is_meant_for(
    person: Person, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.backbone.prior_prompts.KEPT", 1)
    backbone.remembered.clear()
    requests = [replace(NOBODY, seed=seed) for seed in (1, 2, 1)]
    drawn = [picture.tobytes() for picture in person("text-only").generate(requests)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert len(backbone.remembered[("somebody else",)]) == 1


def test_a_learnt_word_changes_no_picture_that_does_not_name_it(person: Person, backbone: Backbone) -> None:
    word = person("textual-inversion")
    (own,) = backbone.generate([NOBODY.template], [NOBODY.seed])
    (drawn,) = word._draw([NOBODY])  # type: ignore[attr-defined]  # with the word on
    assert drawn.tobytes() == own.tobytes()


def test_a_lora_stays_loaded_for_somebody_else(person: Person, backbone: Backbone) -> None:
    (own,) = backbone.generate([NOBODY.template], [NOBODY.seed])
    (drawn,) = person("dreambooth-lora").generate([NOBODY])
    assert drawn.tobytes() != own.tobytes()


def test_only_what_hands_back_photographs_can_draw_nobody_else() -> None:
    assert [name for name, entry in METHODS.items() if not entry.priors] == ["photo-copy"]


def test_pictures_that_are_not_numbers_are_black_and_say_so() -> None:
    pixels = np.full((3, 4, 4, 3), 0.5, np.float32)
    pixels[1, 2, 2, 0] = math.nan
    pixels[2, 0, 0, 1] = math.inf
    images = pictures_of(pixels)
    assert [image.info.get(FLAW) for image in images] == [None, "nan", "nan"]
    assert set(images[0].tobytes()) == {128}
    assert set(images[1].tobytes()) == set(images[2].tobytes()) == {0}


def test_nan_latents_are_told_from_a_black_picture(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        backbone.pipe.vae.decoder, "forward", lambda z, *rest: torch.full((len(z), 3, 16, 16), math.nan)
    )
    (image,) = backbone.generate([NOBODY.template], [NOBODY.seed])
    assert image.info[FLAW] == "nan"


def test_a_weight_file_says_on_whom_it_was_trained(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"x": np.zeros(1)}, file, {"config": '{"training_data": "celeba-train"}'})
    assert data_named(file, "config", "training_data") == {"celeba-train"}
    assert data_named(file, "training", "data_name") == frozenset()
    assert data_named(tmp_path / "none.safetensors", "config", "training_data") == frozenset()


def test_the_shipped_adapters_say_that_they_were_trained_on_rendered_people() -> None:
    for name in ADAPTERS:
        assert make(name).trained_on == {"rendered-people-train"}  # type: ignore[attr-defined]
