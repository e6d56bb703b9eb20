"""Textual inversion on transformers, whose prompts CLIP and T5 read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image
from safetensors.torch import load_file
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import text_encoders_of
from methods.errors import MethodError
from methods.interface import Checkpoints
from methods.subject import Request, Subject
from methods.textual_inversion.embeddings import FILES, embedding_phrase, tokens_on, word_embeddings
from methods.textual_inversion.method import TextualInversion
from methods.textual_inversion.published_file import read_published

QUICK = TextualInversion(steps=2, accumulation=1, learning_rate=0.2, vectors=2)


def plain_image(backbone: Backbone, fit: Path) -> Image:
    """The image of diffusers' pipeline, to whose encoders the tokens are added by transformers alone."""
    pipe = DiffusionPipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    words = ["<person>", "<other>"]
    for name, (tokenizer, encoder, *_) in zip(FILES, text_encoders_of(pipe), strict=False):
        tokenizer.add_tokens(words)
        encoder.resize_token_embeddings(len(tokenizer))
        ids = tokenizer.convert_tokens_to_ids(words)
        with torch.no_grad():
            encoder.get_input_embeddings().weight[ids] = load_file(fit / name)["<person>"]
    image: Image = pipe(
        ["a photo of <person> <other>, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=SIDE,
        width=SIDE,
        max_sequence_length=16,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    return image


def test_diffusers_generates_the_same_image(
    flow_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    backbone = flow_backbone
    QUICK.fit(subject, tmp_path, backbone=backbone, seed=1)
    request = Request("a photo of {subject}, smiling", 3)
    (ours,) = QUICK.load(tmp_path, backbone=backbone).generate([request])
    assert len(list(tmp_path.glob("*.safetensors"))) == len(backbone.text_encoders)
    theirs = plain_image(backbone, tmp_path)
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).max() <= 1
    plain = backbone.generate(["a photo of a woman, smiling"], [3])[0]
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(plain)).max() > 1


def test_every_text_encoder_learns(flow_backbone: Backbone, subject: Subject, tmp_path: Path) -> None:
    QUICK.fit(subject, tmp_path, backbone=flow_backbone, seed=1)
    nouns = word_embeddings(flow_backbone, subject.noun)
    for name, noun in zip(FILES, nouns, strict=False):
        rows = load_file(tmp_path / name)["<person>"]
        # T5 alone reaches the tokens, CLIP the pooled state, and SD 3's CLIP both.
        assert not torch.allclose(rows, noun.expand_as(rows))


def test_training_lowers_the_loss(flow_backbone: Backbone, subject: Subject, tmp_path: Path) -> None:
    one = Subject(subject.id, subject.noun, subject.references[:1])
    method = replace(QUICK, steps=15, batch=4, learning_rate=0.3, weight_decay=0.0, latents="mode")
    frozen = replace(method, learning_rate=0.0)
    losses, constant = (
        each.learn(one, Checkpoints({15: tmp_path}), backbone=flow_backbone, seed=1)
        for each in (method, frozen)
    )
    assert float(losses[0]) == float(constant[0])
    assert float(losses[5:].mean()) < float(constant[5:].mean())


def test_pooled_state_can_be_taken_at_the_end_of_the_prompt(flow_folders: FlowFolders) -> None:
    """As published, it is the state of the new token, which is blind to the words after it."""
    backbone = flow_folders.backbone("sd3")
    rows = [row[None] for row in word_embeddings(backbone, "woman")]
    prompts = [f"a photo of {embedding_phrase(1)}, {word}" for word in ("smiling", "sad")]
    different = []
    for at_end in (False, True):
        with backbone.clean(), tokens_on(backbone, rows, pooled_at_end=at_end):
            pooled = backbone.encode_text(prompts).pooled
        different.append(not torch.allclose(pooled[0], pooled[1], atol=1e-6))
    assert different == [False, True]


def test_published_embeddings_are_refused(flow_backbone: Backbone, tmp_path: Path) -> None:
    QUICK_FILE = tmp_path / "a.safetensors"
    with pytest.raises(MethodError, match=r"published embeddings are for CLIP") as caught:
        read_published([QUICK_FILE], flow_backbone)
    assert "\n" not in str(caught.value)
