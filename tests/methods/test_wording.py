"""`wording` names the texts that a method really gives to the text encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_transformers import IN_CONTEXT

from methods.backbone.backbone import Backbone
from methods.catalog import METHODS, make
from methods.interface import wording
from methods.subject import SLOT, Request, Subject

TEMPLATE = "a photo of {subject}, wearing a blue shirt"
PER_PHOTO = {"captions": "per-photo"}
LONGER: list[tuple[str, dict[str, object]]] = [
    (
        "dreambooth-lora",
        {**PER_PHOTO, "token": "a long rare token", "class_prompt": "{subject}, sad"},
    ),
    ("textual-inversion", {**PER_PHOTO, "vectors": 5, "steps": 3}),
    ("lora-folder", {"trigger": "sks {noun} of {id}"}),
]


@pytest.fixture
def encoded(shared_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Receives the number of tokens of every text that the backbone encodes; the empty text apart."""
    seen: set[int] = set()

    def counting(member: str) -> Callable[..., Any]:
        original = getattr(Backbone, member)

        def call(backbone: Backbone, prompts: Sequence[str], *arguments: Any, **options: Any) -> Any:
            seen.update(len(backbone.pipe.tokenizer(text).input_ids) for text in prompts if text)
            return original(backbone, prompts, *arguments, **options)

        return call

    for member in ("encode_text", "encode_text_with_grad", "generate", "generate_latents"):
        monkeypatch.setattr(Backbone, member, counting(member))
    return seen


def counts_of(texts: Sequence[str], backbone: Backbone) -> set[int]:
    return {len(backbone.pipe.tokenizer(text).input_ids) for text in texts}


@pytest.mark.parametrize(
    ("name", "own"), [*((name, {}) for name in METHODS if name not in IN_CONTEXT), *LONGER]
)
def test_wording_has_the_lengths_of_the_encoded_texts(
    name: str,
    own: dict[str, object],
    settings: dict[str, dict[str, object]],
    subject: Subject,
    shared_backbone: Backbone,
    encoded: set[int],
    tmp_path: Path,
) -> None:
    method = make(name, {**settings.get(name, {}), **own})
    found = wording(method, subject)
    shared_backbone.cache.clear()  # which may contain class images
    method.fit(subject, tmp_path, backbone=shared_backbone, seed=5)
    fitted = method.load(tmp_path, backbone=shared_backbone)
    while_fitting = set(encoded)
    encoded.clear()
    fitted.generate([Request(TEMPLATE, 11, "shirt", 11)])
    if found is None:
        assert (while_fitting, encoded) == (set(), set())
        return
    expected = counts_of([text.replace(SLOT, found.phrase) for text in found.training_texts], shared_backbone)
    if own:
        assert while_fitting == expected
    assert while_fitting <= expected
    assert encoded == counts_of([TEMPLATE.replace(SLOT, found.phrase)], shared_backbone)


def test_a_class_without_the_member_uses_the_noun_phrase(subject: Subject) -> None:
    assert wording(object(), subject).phrase == "a woman"  # type: ignore[arg-type, union-attr]
