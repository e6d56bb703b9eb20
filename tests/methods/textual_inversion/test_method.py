"""Textual inversion: training, settings, and that diffusers reads the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL.Image import Image
from plain_pipeline import first_image, plain_pipeline
from safetensors.torch import load_file
from tiny_pipelines import SmallFolders

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import text_encoders_of
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError
from methods.interface import Checkpoints
from methods.subject import Request, Subject
from methods.textual_inversion.embeddings import (
    FILES,
    embedding_phrase,
    save_embeddings,
    tokens_on,
    word_embeddings,
)
from methods.textual_inversion.method import TextualInversion

QUICK = TextualInversion(steps=2, accumulation=1, learning_rate=0.2, vectors=2)
REQUEST = Request("a photo of {subject}, smiling", 3)


def diffusers_image(folder: Path, fit: Path) -> Image:
    """The image of diffusers' pipeline with its own loader."""
    pipe = plain_pipeline(folder)
    for name, (tokenizer, encoder, *_) in zip(FILES, text_encoders_of(pipe), strict=False):
        pipe.load_textual_inversion(fit, weight_name=name, tokenizer=tokenizer, text_encoder=encoder)
    return first_image(pipe, "a photo of <person>, smiling")


def test_diffusers_generates_the_same_image(
    family_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    QUICK.fit(subject, tmp_path, backbone=family_backbone, seed=1)
    ours = QUICK.load(tmp_path, backbone=family_backbone).generate([REQUEST])[0]
    theirs = diffusers_image(family_backbone.folder, tmp_path)
    assert max(abs(a - b) for a, b in zip(ours.tobytes(), theirs.tobytes(), strict=True)) <= 1
    assert ours.tobytes() != family_backbone.generate(["a photo of a woman, smiling"], [3])[0].tobytes()
    encoders = family_backbone.text_encoders
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES[: len(encoders)])
    for name, (tokenizer, encoder, *_) in zip(FILES, encoders, strict=False):
        (word, rows), *_ = load_file(tmp_path / name).items()
        assert (word, rows.shape) == ("<person>", (2, encoder.config.hidden_size))
        assert tokenizer.tokenize(word) != [word]
    assert family_backbone.state.leftovers(family_backbone.pipe) == []


def learned_embeddings(
    method: TextualInversion, subject: Subject, into: Path, backbone: Backbone
) -> torch.Tensor:
    into.mkdir(exist_ok=True)
    method.fit(subject, into, backbone=backbone, seed=1)
    return load_file(into / FILES[0])[method.placeholder]


def test_embedding_starts_at_the_noun_and_its_loss_falls(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    one = Subject(subject.id, subject.noun, subject.references[:1])
    frozen = replace(QUICK, learning_rate=0.0, vectors=3)
    start = learned_embeddings(frozen, one, tmp_path / "frozen", backbone)
    (noun,) = word_embeddings(backbone, "woman")
    assert torch.equal(start, noun.repeat(3, 1))
    method = replace(
        QUICK, steps=15, batch=4, vectors=3, learning_rate=0.3, weight_decay=0.0, captions="per-photo"
    )
    losses = method.learn(one, Checkpoints({15: tmp_path}), backbone=backbone, seed=1)
    # The same photographs, steps and noise, with a constant embedding.
    constant = replace(method, learning_rate=0.0).learn(
        one, Checkpoints({15: tmp_path}), backbone=backbone, seed=1
    )
    assert float(losses[0]) == float(constant[0])
    assert float(losses[5:].mean()) < float(constant[5:].mean())


@pytest.fixture(scope="module")
def baseline(
    subject: Subject, shared_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> torch.Tensor:
    return learned_embeddings(QUICK, subject, tmp_path_factory.mktemp("baseline"), shared_backbone)


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
def test_every_setting_changes_the_learned_weights(
    settings: dict[str, object], baseline: torch.Tensor, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = replace(QUICK, **settings)  # type: ignore[arg-type]
    other = learned_embeddings(method, subject, tmp_path, backbone)
    assert other.shape != baseline.shape or not torch.equal(other, baseline)


def test_gradient_checkpointing_learns_the_same(
    baseline: torch.Tensor, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = replace(QUICK, gradient_checkpointing=True)
    assert torch.allclose(learned_embeddings(method, subject, tmp_path, backbone), baseline, atol=1e-5)


@pytest.mark.parametrize("placeholder", ["ada", "oto", "<Ada>", "S*", "ADA-v2"])
@pytest.mark.parametrize("vectors", [1, 3])
def test_image_does_not_depend_on_the_spelling_of_the_placeholder(
    placeholder: str, vectors: int, backbone: Backbone, tmp_path: Path
) -> None:
    """`ada` occurs in "canada", `oto` in "photo", and the tokenizers write `<Ada>` in small letters."""
    tables = [encoder.get_input_embeddings().weight for _, encoder, *_ in backbone.text_encoders]
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randn(vectors, table.shape[1], generator=generator) for table in tables]
    images = []
    for word in (placeholder, "<person>"):
        (tmp_path / word).mkdir()
        save_embeddings(word, rows, tmp_path / word)
        fitted = QUICK.load(tmp_path / word, backbone=backbone)
        images.append(fitted.generate([Request("a photo of {subject} in canada", 3)])[0].tobytes())
    assert images[0] == images[1]


def test_every_vector_is_used(backbone: Backbone) -> None:
    tables = [encoder.get_input_embeddings().weight for _, encoder, *_ in backbone.text_encoders]
    prompt = [f"a photo of {embedding_phrase(3)} in canada"]
    rows = [torch.ones(3, table.shape[1], requires_grad=True) for table in tables]
    with tokens_on(backbone, rows):
        # An odd power: the mean of a normalised layer is constant.
        (backbone.encode_text_with_grad(prompt).tokens ** 3).sum().backward()
    assert all((row.grad.abs().sum(dim=1) > 0).all() for row in rows)


def test_initializer_of_several_tokens_is_their_mean(backbone: Backbone) -> None:
    (both,) = word_embeddings(backbone, "man woman")
    (man,), (woman,) = (word_embeddings(backbone, word) for word in ("man", "woman"))
    assert torch.allclose(both, (man + woman) / 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"placeholder": "woman"}, "'woman' is already in the vocabulary"),
        ({"placeholder": "ho"}, "'ho' is already in the vocabulary"),
        ({"vectors": 99}, "vectors is 99; a prompt of this text encoder has"),
        ({"initializer": ""}, "cannot encode initializer"),
    ],
)
def test_unusable_word_is_refused(
    settings: dict[str, str], message: str, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(MethodError, match=message):
        replace(QUICK, **settings).fit(subject, tmp_path, backbone=backbone, seed=1)
    assert backbone.state.leftovers(backbone.pipe) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"placeholder": "two words"}, "expected one word"),
        ({"vectors": 0}, "vectors is 0"),
        ({"captions": "none"}, "expected one of 'neutral', 'per-photo'"),
    ],
)
def test_invalid_setting_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        replace(QUICK, **settings)  # type: ignore[arg-type]


def test_folder_without_embeddings_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="fit the person again"):
        QUICK.load(tmp_path, backbone=backbone)


def test_pooled_feature_of_sdxl_reads_the_words_after_the_placeholder_as_an_option(
    tiny_pipelines: SmallFolders,
) -> None:
    """As published, it is the state of the placeholder, which is blind to what follows."""
    backbone = Backbone.open(BackboneSpec(path=str(tiny_pipelines["sdxl"]), device="cpu", batch=1))
    embeddings = word_embeddings(backbone, "woman")
    phrase = embedding_phrase(1)
    prompts = [f"a photo of {phrase}, smiling", f"a photo of {phrase}, sad", "a photo of a woman, sad"]
    plain = backbone.encode_text(prompts[2:]).pooled
    pooled = []
    for at_end in (False, True):
        with backbone.clean(), tokens_on(backbone, [row[None] for row in embeddings], pooled_at_end=at_end):
            pooled.append(backbone.encode_text(prompts).pooled)
    assert torch.equal(pooled[0][0], pooled[0][1])
    assert not torch.allclose(pooled[1][0], pooled[1][1])
    for features in pooled:
        assert torch.allclose(features[2], plain[0], atol=1e-5)
