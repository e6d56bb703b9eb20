"""Requests without the subject: class images by the personalised model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL.Image import Image

from methods.backbone.backbone import Backbone
from methods.catalog import make
from methods.interface import Personalised
from methods.subject import Request, Subject

CLASS_REQUEST = Request("a photo of a woman", 11)
SUBJECT_REQUEST = Request("a photo of {subject}, smiling", 12)
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
def test_class_image_of_an_unchanged_backbone_is_the_backbone_s_own(
    name: str, person: Person, backbone: Backbone
) -> None:
    (own,) = backbone.generate([CLASS_REQUEST.template], [CLASS_REQUEST.seed], small_batches=True)
    (image,) = person(name).generate([CLASS_REQUEST])
    assert image.tobytes() == own.tobytes()


@pytest.mark.parametrize("name", ADAPTERS)
def test_mixed_requests_keep_their_order(name: str, person: Person) -> None:
    fitted = person(name)
    separate = [fitted.generate([request])[0].tobytes() for request in (SUBJECT_REQUEST, CLASS_REQUEST)]
    mixed = [image.tobytes() for image in fitted.generate([CLASS_REQUEST, SUBJECT_REQUEST, CLASS_REQUEST])]
    assert mixed == [separate[1], separate[0], separate[1]]


def test_class_images_are_generated_once_for_all_adapters(
    person: Person, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone.cache.clear()
    first = person("text-only").generate([CLASS_REQUEST, SUBJECT_REQUEST, CLASS_REQUEST])
    first[0].putpixel((0, 0), (1, 2, 3))
    prompts_seen: list[str] = []
    generate = Backbone.generate

    def recording(self: Backbone, prompts: Sequence[str], *rest: object, **more: object) -> list[Image]:
        prompts_seen.extend(prompts)
        return generate(self, prompts, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Backbone, "generate", recording)
    adapter = person("loo-mean")
    (again,) = adapter.generate([CLASS_REQUEST])
    assert prompts_seen == []
    assert again.tobytes() == first[2].tobytes() != first[0].tobytes()
    adapter.generate([replace(CLASS_REQUEST, seed=12)])
    assert prompts_seen == [CLASS_REQUEST.template]


def test_cache_of_class_images_is_bounded(
    person: Person, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.backbone.prior_prompts.CACHE_SIZE", 1)
    backbone.cache.clear()
    requests = [replace(CLASS_REQUEST, seed=seed) for seed in (1, 2, 1)]
    images = [image.tobytes() for image in person("text-only").generate(requests)]
    assert images[0] == images[2] != images[1]
    assert len(backbone.cache[("prior images",)]) == 1


def test_learned_token_does_not_change_images_of_other_prompts(person: Person, backbone: Backbone) -> None:
    personalised = person("textual-inversion")
    (own,) = backbone.generate([CLASS_REQUEST.template], [CLASS_REQUEST.seed])
    (image,) = personalised._generate([CLASS_REQUEST])  # type: ignore[attr-defined]  # with the token added
    assert image.tobytes() == own.tobytes()


def test_lora_stays_loaded_for_class_images(person: Person, backbone: Backbone) -> None:
    (own,) = backbone.generate([CLASS_REQUEST.template], [CLASS_REQUEST.seed])
    (image,) = person("dreambooth-lora").generate([CLASS_REQUEST])
    assert image.tobytes() != own.tobytes()
