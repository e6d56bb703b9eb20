"""Pivotal tuning: what is trained when, the settings, and that diffusers reads both files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL.Image import Image
from plain_pipeline import first_image, plain_pipeline
from safetensors.torch import load_file
from tiny_transformers import FlowFolders, spec_of
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import text_encoders_of
from methods.errors import MethodError
from methods.interface import Checkpoints
from methods.lora.checkpoint import FILE
from methods.subject import Request, Subject
from methods.textual_inversion.embeddings import word_embeddings
from methods.ti_lora.method import TiLora
from methods.ti_lora.training import EMBEDDINGS, NewTokens

QUICK = TiLora(steps=4, batch=1, learning_rate=3e-2, text_learning_rate=0.2, rank=2)
REQUEST = Request("a photo of {subject}, smiling", 3)


def diffusers_image(folder: Path, fit: Path) -> Image:
    """The image of diffusers' pipeline with its own loaders, as the script's model card shows them."""
    pipe = plain_pipeline(folder)
    pipe.load_lora_weights(fit, weight_name=FILE)
    embeddings = load_file(fit / EMBEDDINGS)
    for name, (tokenizer, encoder, *_) in zip(("clip_l", "clip_g"), text_encoders_of(pipe), strict=False):
        pipe.load_textual_inversion(
            embeddings[name], token=["<s0>", "<s1>"], tokenizer=tokenizer, text_encoder=encoder
        )
    return first_image(pipe, "a photo of <s0><s1> woman, smiling")


def test_diffusers_generates_the_same_image(
    family_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    QUICK.fit(subject, tmp_path, backbone=family_backbone, seed=1)
    assert family_backbone.state.leftovers(family_backbone.pipe) == []
    ours = QUICK.load(tmp_path, backbone=family_backbone).generate([REQUEST])[0]
    assert family_backbone.state.leftovers(family_backbone.pipe) == []
    theirs = diffusers_image(family_backbone.folder, tmp_path)
    assert max(abs(a - b) for a, b in zip(ours.tobytes(), theirs.tobytes(), strict=True)) <= 1
    assert ours.tobytes() != family_backbone.generate(["a photo of a woman, smiling"], [3])[0].tobytes()


def states(method: TiLora, subject: Subject, folder: Path, backbone: Backbone) -> list[tuple[Tensor, Tensor]]:
    """Embedding and a matrix of the LoRA after each step."""
    folders = {steps: folder / str(steps) for steps in range(1, method.steps + 1)}
    for path in folders.values():
        path.mkdir(parents=True)
    method.fit_checkpoints(subject, Checkpoints(folders), backbone=backbone, seed=1)
    found = []
    for path in folders.values():
        lora = load_file(path / FILE)
        name = next(name for name in sorted(lora) if name.endswith("lora_B.weight"))
        found.append((load_file(path / EMBEDDINGS)["clip_l"], lora[name]))
    return found


def test_embeddings_are_trained_for_their_share_of_the_steps_and_the_lora_for_all(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    (one, lora_1), (two, lora_2), (three, lora_3), (four, lora_4) = states(QUICK, subject, tmp_path, backbone)
    assert not torch.equal(one, two)
    assert torch.equal(two, three)
    assert torch.equal(three, four)
    assert not any(map(torch.equal, [lora_1, lora_2, lora_3], [lora_2, lora_3, lora_4]))


def test_cached_features_after_the_pivot_are_those_of_the_trained_embeddings(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    """With all rates 0, a fit that encodes the prompts anew at every step has the same losses."""
    losses = []
    for share in (0.0, 0.5, 1.0):
        method = replace(
            QUICK, learning_rate=0.0, text_learning_rate=0.0, train_text_encoder_ti_frac=share, initializer=""
        )
        tmp_path.joinpath(str(share)).mkdir()
        checkpoints = Checkpoints({4: tmp_path / str(share)})
        losses.append(method.learn(subject, checkpoints, backbone=backbone, seed=1))
    # Before the pivot the embeddings are rescaled; random ones have almost the deviation of the table.
    assert torch.allclose(losses[0], losses[1], rtol=1e-3)
    assert torch.allclose(losses[1], losses[2], rtol=1e-3)


def test_embeddings_are_rescaled_towards_the_deviation_of_the_table() -> None:
    rows = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    ratio = float(rows.std()) / 0.01
    tokens = NewTokens([rows], [torch.tensor(0.01)], steps=1, pooled_at_end=False)
    tokens.rescale()
    assert float(rows.std()) / 0.01 == pytest.approx(ratio**0.9, rel=1e-4)
    for _ in range(100):
        tokens.rescale()
    assert float(rows.std()) == pytest.approx(0.01, rel=1e-3)


def test_initial_embeddings_are_random_or_those_of_a_word(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    table = backbone.text_encoders[0].network.get_input_embeddings().weight
    none = replace(QUICK, steps=1, train_text_encoder_ti_frac=0.0, vectors=20)
    ((random, _),) = states(none, subject, tmp_path / "random", backbone)
    assert float(random.std()) == pytest.approx(float(table.std()), rel=0.2)
    ((word, _),) = states(replace(none, initializer="{noun}"), subject, tmp_path / "word", backbone)
    (noun,) = word_embeddings(backbone, "woman")
    assert torch.equal(word, noun.repeat(20, 1))


@pytest.mark.parametrize(
    "settings",
    [
        {"vectors": 1},
        {"train_text_encoder_ti_frac": 1.0},
        {"text_learning_rate": 0.1},
        {"text_weight_decay": 0.9},
        {"initializer": "man"},
        {"prior_weight": 1.0, "class_pictures": 1},
        {"use_dora": True},
    ],
    ids=str,
)
def test_every_setting_changes_the_learned_weights(
    settings: dict[str, object], subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    baseline = states(QUICK, subject, tmp_path / "baseline", backbone)[-1]
    other = states(replace(QUICK, **settings), subject, tmp_path / "other", backbone)[-1]  # type: ignore[arg-type]
    same = [a.shape == b.shape and torch.equal(a, b) for a, b in zip(baseline, other, strict=True)]
    assert not all(same)


def test_class_images_are_drawn_with_the_lora(subject: Subject, backbone: Backbone, tmp_path: Path) -> None:
    QUICK.fit(subject, tmp_path, backbone=backbone, seed=1)
    person = QUICK.load(tmp_path, backbone=backbone)
    request = Request("a photo of a woman", 3)
    with person.session():
        (image,) = person.generate([request])
    assert image.tobytes() != backbone.generate(["a photo of a woman"], [3])[0].tobytes()


@pytest.mark.parametrize("settings", [{"token": "sks"}, {"text_encoder": True}])
def test_settings_of_dreambooth_without_meaning_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(MethodError, match="leave out token and text_encoder"):
        TiLora(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [FILE, EMBEDDINGS])
def test_incomplete_fit_is_refused(name: str, subject: Subject, backbone: Backbone, tmp_path: Path) -> None:
    QUICK.fit(subject, tmp_path, backbone=backbone, seed=1)
    (tmp_path / name).unlink()
    with pytest.raises(MethodError, match=f"no {name}; fit the person again"):
        QUICK.load(tmp_path, backbone=backbone)


def test_stable_diffusion_3_needs_to_be_without_its_t5(
    flow_folders: FlowFolders, subject: Subject, tmp_path: Path
) -> None:
    with_t5 = flow_folders.backbone("sd3")
    with pytest.raises(MethodError, match="embeddings are for CLIP"):
        QUICK.fit(subject, tmp_path, backbone=with_t5, seed=1)
    backbone = Backbone.open(spec_of(flow_folders["sd3"], t5=False))
    QUICK.fit(subject, tmp_path, backbone=backbone, seed=1)
    assert set(load_file(tmp_path / EMBEDDINGS)) == {"clip_l", "clip_g"}
    (image,) = QUICK.load(tmp_path, backbone=backbone).generate([REQUEST])
    assert backbone.state.leftovers(backbone.pipe) == []
    assert image.tobytes() != backbone.generate(["a photo of a woman, smiling"], [3])[0].tobytes()
