"""Prompts are encoded once per run, and again where a method has changed what encodes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.families.interface import Denoiser
from methods.backbone.families.text_features import PromptCache
from methods.catalog import make
from methods.subject import Request, Subject

PROMPTS = ["a photo of a man, smiling", "a photo of a dog", "a photo of a man, sad"]
SEEDS = [4, 5, 6]


@pytest.fixture
def fresh(flow_backbone: Backbone) -> Backbone:
    """The backbone without earlier prompts."""
    return replace(flow_backbone, cache={})


@pytest.fixture
def calls(fresh: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes of the calls that encode prompts for the cache."""
    found: list[int] = []
    kind = type(fresh.denoiser)
    own = kind.encode_prompts

    def encode_prompts(
        self: Denoiser, prompts: Sequence[str], *rest: Any, **named: Any
    ) -> tuple[Tensor, ...]:
        found.append(len(prompts))
        return own(self, prompts, *rest, **named)

    monkeypatch.setattr(kind, "encode_prompts", encode_prompts)
    return found


def test_prompts_are_encoded_once_and_images_keep_every_bit(
    fresh: Backbone, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = fresh.generate([*PROMPTS, *PROMPTS], [*SEEDS, *SEEDS])
    # Man and dog; man, sad; where there is guidance, the empty negative prompt.
    assert calls == [2] * (3 if fresh.is_guided else 2)
    before = len(calls)
    again = fresh.generate(PROMPTS[1:], SEEDS[1:])
    assert len(calls) == before
    assert [image.tobytes() for image in again] == [image.tobytes() for image in images[1:3]]
    # Now the pipeline encodes the prompts of every batch.
    monkeypatch.setattr(type(fresh.denoiser), "prompt_embeds", ())
    plain = fresh.generate(PROMPTS, SEEDS)
    assert [image.tobytes() for image in plain] == [image.tobytes() for image in images[:3]]
    assert len(calls) == before


def test_lora_on_the_transformer_keeps_the_prompts(
    fresh: Backbone, calls: list[int], subject: Subject, tmp_path: Path
) -> None:
    method = make("dreambooth-lora", {"steps": 1, "class_pictures": 0, "prior_weight": 0.0})
    method.fit(subject, tmp_path, backbone=fresh, seed=1)
    personalised = method.load(tmp_path, backbone=fresh)
    requests = [Request("a photo of {subject}", seed) for seed in (1, 2, 3)]
    personalised.generate(requests)
    before = len(calls)
    assert before > 0
    personalised.generate(requests)
    assert len(calls) == before


def test_changed_text_encoder_encodes_its_prompts_itself(fresh: Backbone) -> None:
    before = fresh.generate(PROMPTS[:1], [4])[0].tobytes()
    network = fresh.text_encoders[-1].network
    with fresh.clean(), torch.no_grad():
        network.get_input_embeddings().weight.mul_(1.5)
        changed = fresh.generate(PROMPTS[:1], [4])[0].tobytes()
        fresh.restore()
    assert changed != before
    assert fresh.generate(PROMPTS[:1], [4])[0].tobytes() == before


def test_changed_tokenizer_encodes_its_prompts_itself(fresh: Backbone) -> None:
    before = fresh.generate(PROMPTS[:1], [4])[0].tobytes()
    with fresh.clean():
        fresh.text_encoders[0].tokenizer.add_tokens(["smiling"])
        fresh.text_encoders[0].network.resize_token_embeddings(len(fresh.text_encoders[0].tokenizer))
        assert fresh.generate(PROMPTS[:1], [4])[0].tobytes() != before
        fresh.restore()
    assert fresh.generate(PROMPTS[:1], [4])[0].tobytes() == before


def test_cache_drops_what_was_used_longest_ago() -> None:
    encoded: list[list[str]] = []

    def encode(prompts: Sequence[str]) -> list[Tensor]:
        encoded.append(list(prompts))
        return [torch.tensor([[float(len(prompt))] * 4 for prompt in prompts])]

    cache = PromptCache(limit=2 * 16)
    assert cache.encoded("prompt", ["a", "bb"], encode)[0].tolist() == [[1.0] * 4, [2.0] * 4]
    assert cache.encoded("prompt", ["a", "a"], encode)[0].tolist() == [[1.0] * 4] * 2
    assert cache.encoded("prompt", ["a", "ccc"], encode)[0].tolist() == [[1.0] * 4, [3.0] * 4]
    assert encoded == [["a", "bb"], ["ccc", "ccc"]]
    cache.encoded("prompt", ["bb", "bb"], encode)
    assert [prompt for *_, prompt in cache.rows] == ["ccc", "bb"]
    # A row is kept, not the batch that it was encoded in.
    assert all(t.untyped_storage().nbytes() == 16 for row in cache.rows.values() for t in row)


def test_negative_prompts_and_other_batch_sizes_are_kept_apart() -> None:
    cache = PromptCache()
    for kind, size, value in (("prompt", 1, 1.0), ("negative_prompt", 1, 2.0), ("prompt", 2, 3.0)):
        found = cache.encoded(kind, ["a"] * size, lambda p, v=value: [torch.full((len(p), 1), v)])
        assert found[0].tolist() == [[value]] * size
