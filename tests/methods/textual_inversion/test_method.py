"""Textual inversion: what it learns, what it writes, and that plain diffusers reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image
from safetensors.torch import load_file

from methods.backbone.backbone import Backbone
from methods.backbone.text_encoding import encoders_of
from methods.errors import MethodError
from methods.subject import Request, Subject
from methods.textual_inversion.embeddings import FILES, embeddings_of
from methods.textual_inversion.method import TextualInversion

QUICK = TextualInversion(steps=2, accumulation=1, learning_rate=0.2, vectors=2)
ASKED = Request("a photo of {subject}, smiling", 3)


def plain_picture(folder: Path, fit: Path) -> Image:
    """What plain diffusers draws with the published loader."""
    pipe = DiffusionPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None)
    pipe.set_progress_bar_config(disable=True)
    for name, (tokenizer, encoder) in zip(FILES, encoders_of(pipe), strict=False):
        pipe.load_textual_inversion(fit, weight_name=name, tokenizer=tokenizer, text_encoder=encoder)
    image: Image = pipe(
        ["a photo of <person>, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    return image


def test_plain_diffusers_draws_the_same_picture(
    family_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    QUICK.fit(subject, tmp_path, backbone=family_backbone, seed=1)
    ours = QUICK.load(tmp_path, backbone=family_backbone).generate([ASKED])[0]
    theirs = plain_picture(family_backbone.folder, tmp_path)
    assert max(abs(a - b) for a, b in zip(ours.tobytes(), theirs.tobytes(), strict=True)) <= 1
    assert ours.tobytes() != family_backbone.generate(["a photo of a woman, smiling"], [3])[0].tobytes()
    encoders = encoders_of(family_backbone.pipe)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES[: len(encoders)])
    for name, (tokenizer, encoder) in zip(FILES, encoders, strict=False):
        (word, rows), *_ = load_file(tmp_path / name).items()
        assert (word, rows.shape) == ("<person>", (2, encoder.config.hidden_size))
        assert tokenizer.tokenize(word) != [word]
    assert family_backbone.state.leftovers(family_backbone.pipe) == []


def learnt(method: TextualInversion, subject: Subject, into: Path, backbone: Backbone) -> torch.Tensor:
    into.mkdir(exist_ok=True)
    method.fit(subject, into, backbone=backbone, seed=1)
    return load_file(into / FILES[0])[method.placeholder]


def test_the_word_begins_as_the_noun_and_its_loss_falls(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    one = Subject(subject.id, subject.noun, subject.references[:1])
    still = replace(QUICK, learning_rate=0.0, vectors=3)
    start = learnt(still, one, tmp_path / "still", backbone)
    (noun,) = embeddings_of(backbone, "woman")
    assert torch.equal(start, noun.repeat(3, 1))
    method = replace(
        QUICK, steps=15, batch=4, vectors=3, learning_rate=0.3, weight_decay=0.0, captions="per-photo"
    )
    learning = method.learn(one, tmp_path, backbone=backbone, seed=1)
    # The same photographs, steps and noise, with a word that stays as it is.
    resting = replace(method, learning_rate=0.0).learn(one, tmp_path, backbone=backbone, seed=1)
    assert float(learning[0]) == float(resting[0])
    assert float(learning[5:].mean()) < float(resting[5:].mean())


@pytest.fixture(scope="module")
def plain(
    subject: Subject, shared_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> torch.Tensor:
    return learnt(QUICK, subject, tmp_path_factory.mktemp("plain"), shared_backbone)


@pytest.mark.parametrize(
    "settings",
    [
        {"vectors": 1},
        {"initializer": "man"},
        {"captions": "per-photo"},
        {"flip": False},
        {"latents": "mode"},
        {"steps": 3},
        {"batch": 2},
        {"accumulation": 2},
        {"learning_rate": 0.1},
        {"lr_scheduler": "cosine"},
        {"weight_decay": 0.5},
        {"adam_beta1": 0.5},
    ],
    ids=str,
)
def test_every_setting_changes_what_is_learnt(
    settings: dict[str, object], plain: torch.Tensor, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = replace(QUICK, **settings)  # type: ignore[arg-type]
    other = learnt(method, subject, tmp_path, backbone)
    assert other.shape != plain.shape or not torch.equal(other, plain)


def test_checkpointing_learns_the_same(
    plain: torch.Tensor, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = replace(QUICK, gradient_checkpointing=True)
    assert torch.allclose(learnt(method, subject, tmp_path, backbone), plain, atol=1e-5)


def test_an_initializer_of_several_pieces_is_their_mean(backbone: Backbone) -> None:
    (both,) = embeddings_of(backbone, "man woman")
    (man,), (woman,) = (embeddings_of(backbone, word) for word in ("man", "woman"))
    assert torch.allclose(both, (man + woman) / 2)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"placeholder": "woman"}, "knows 'woman' already"),
        ({"initializer": ""}, "nothing for initializer"),
    ],
)
def test_a_word_that_cannot_be_learnt_is_refused(
    settings: dict[str, str], told: str, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(MethodError, match=told):
        replace(QUICK, **settings).fit(subject, tmp_path, backbone=backbone, seed=1)
    assert backbone.state.leftovers(backbone.pipe) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"placeholder": "two words"}, "wanted is one word"),
        ({"vectors": 0}, "vectors is 0"),
        ({"captions": "none"}, "wanted is one of 'neutral', 'per-photo'"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(MethodError, match=told):
        replace(QUICK, **settings)  # type: ignore[arg-type]


def test_a_folder_without_its_file_is_told(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="fit the person again"):
        QUICK.load(tmp_path, backbone=backbone)
