"""The flow recipe in a few steps: the loss is the formula, resuming is exact, diffusers loads the folder."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
from squares import Squares, ignore_progress, short_schedule, small_parts
from torch import nn

from methods.compute.seeding import seeded_generator
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.loop import Schedule, optimize
from methods.recipes.pipeline_folder import save_stable_diffusion, save_stable_diffusion_3
from methods.recipes.tiny_flow import make_flow_backbone
from methods.recipes.workspace import TrainingWorkspace
from methods.tiny_sd import transformer as tiny_transformer
from methods.tiny_sd.attribute_tokens import AttributeConditioning
from methods.tiny_sd.encoded_set import FrozenParts, face_weight
from methods.tiny_sd.tokenizer import token_ids
from methods.tiny_sd.transformer import NOISE, flow_loss, initial_transformer, new_flow_scheduler, text_inputs
from methods.tiny_sd.unet import new_unet

CPU = torch.device("cpu")
WITHOUT_T5 = {"text_encoder_3": None, "tokenizer_3": None}


@pytest.fixture(scope="module")
def parts() -> FrozenParts:
    return small_parts(Squares())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers of two layers and two heads."""
    full = tiny_transformer.new_transformer

    def reduced(*, channels: int, size: int, text_width: int) -> SD3Transformer2DModel:
        return full(channels=channels, size=size, text_width=text_width, layers=2, heads=2)

    monkeypatch.setattr(tiny_transformer, "new_transformer", reduced)


def open_sd3(folder: Path) -> StableDiffusion3Pipeline:
    pipeline = StableDiffusion3Pipeline.from_pretrained(folder, **WITHOUT_T5)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_noise_levels_are_logit_normal_and_not_shifted() -> None:
    logits = (NOISE.sample_timesteps(4000, torch.Generator().manual_seed(0)) / 1000).clamp(max=0.9999).logit()
    assert float(logits.mean()) == pytest.approx(0, abs=0.01)
    assert float(logits.std()) == pytest.approx(1, abs=0.02)
    assert new_flow_scheduler().shift == NOISE.shift == 1


@pytest.mark.usefixtures("small")
def test_loss_is_the_weighted_error_of_the_velocity(
    parts: FrozenParts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a transformer that returns x_t, all parts of the formula are known: e = x_t - (eps - x)."""
    data = Squares()
    network, attributes = initial_transformer(data, parts, seed=0)
    seen: list[tuple[torch.Tensor, ...]] = []

    def echo(x_t: torch.Tensor, *, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: object):
        seen.append((x_t, timestep, encoder_hidden_states))
        return (x_t,)

    monkeypatch.setattr(network, "forward", echo)
    loss = flow_loss(network, attributes, data, parts, short_schedule(1, 1e-3), device=CPU, work=tmp_path)
    value = loss(0, seeded_generator(0, 0), slice(0, 8))

    encoded = tiny_transformer.EncodedSet.of(data, parts, 1, CPU, tmp_path)
    share = tiny_transformer.ATTRIBUTES_SHARE
    batch = encoded.sample(8, seeded_generator(0, 0), NOISE.sample_timesteps, share)
    t = batch.t[:, None, None, None] / 1000
    x_t = (1 - t) * batch.latents + t * batch.noise
    expected = (face_weight(16) * (x_t - (batch.noise - batch.latents)).square()).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)

    # The images with attribute tokens are a pass of their own, with one more token per group.
    plain, described = seen
    order = torch.cat([(~batch.described).nonzero(), batch.described.nonzero()]).squeeze(1)
    torch.testing.assert_close(torch.cat([plain[0], described[0]]), x_t[order])
    torch.testing.assert_close(torch.cat([plain[1], described[1]]), batch.t[order])
    assert described[2].shape[1] - plain[2].shape[1] == len(data.descriptions.groups)


@pytest.mark.usefixtures("small")
def test_loss_without_descriptions_is_one_pass(parts: FrozenParts, tmp_path: Path) -> None:
    data = Squares()
    network, _ = initial_transformer(data, parts, seed=0)
    passes: list[int] = []
    network.register_forward_hook(lambda *_: passes.append(1))
    none = AttributeConditioning(None, network.config.joint_attention_dim)
    loss = flow_loss(network, none, data, parts, short_schedule(1, 1e-3), device=CPU, work=tmp_path)
    loss(0, seeded_generator(0, 0), slice(0, 8))
    assert passes == [1]


@pytest.mark.usefixtures("small")
def test_zeros_stand_for_absent_t5_in_a_share_of_the_steps(
    parts: FrozenParts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = Squares(4, 2)
    network, _ = initial_transformer(data, parts, seed=0)
    contexts: list[torch.Tensor] = []

    def record(x_t: torch.Tensor, *, encoder_hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
        contexts.append(encoder_hidden_states)
        return (x_t,)

    monkeypatch.setattr(network, "forward", record)
    none = AttributeConditioning(None, network.config.joint_attention_dim)
    loss = flow_loss(network, none, data, parts, short_schedule(1, 1e-3), device=CPU, work=tmp_path)
    monkeypatch.setattr(tiny_transformer, "T5_SHARE", 1.0)
    for step in range(3):
        loss(step, seeded_generator(0, step), slice(0, 8))
    length = parts.tokenizer.model_max_length
    assert all(context[:, length:].eq(0).all() and context[:, :length].ne(0).any() for context in contexts)
    assert len({context.shape[1] - length for context in contexts} - {0}) == 3


def test_text_inputs_are_those_of_diffusers(parts: FrozenParts, tmp_path: Path) -> None:
    prompts = ["a photo of a man, red background", ""]
    network = tiny_transformer.new_transformer(channels=8, size=16, text_width=128, layers=2, heads=2)
    save_stable_diffusion_3(tmp_path / "sd3", copy.deepcopy(parts), network)
    pipeline = open_sd3(tmp_path / "sd3")
    states, _, pooled, _ = pipeline.encode_prompt(
        prompts, None, None, max_sequence_length=0, do_classifier_free_guidance=False
    )
    expected = text_inputs(parts, torch.tensor(token_ids(parts.tokenizer, prompts)))
    # The folder stores half precision.
    torch.testing.assert_close(states, expected[0], atol=0.02, rtol=0.01)
    torch.testing.assert_close(pooled, expected[1], atol=0.02, rtol=0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_recipe_writes_a_pipeline_that_diffusers_loads(parts: FrozenParts, tmp_path: Path) -> None:
    losses: list[float] = []
    workspace = TrainingWorkspace(
        Squares(),
        Squares(4, 2),
        tmp_path / "weights",
        tmp_path / "checkpoints",
        CPU,
        lambda step, steps, text: losses.append(float(text.split()[1].rstrip(","))),
    )
    unet = new_unet(channels=8, size=16, text_width=128, widths=(32, 32))
    save_stable_diffusion(workspace.weights / "embedded", copy.deepcopy(parts), unet)
    schedule = replace(short_schedule(30, 2e-3), batch=16)
    folder = make_flow_backbone(workspace, schedule, command="bench train backbone --family flow")
    assert losses[-1] < losses[0]
    card = (folder / "CARD.md").read_text()
    assert "Made by `bench train backbone --family flow`." in card
    assert "velocity error" in card
    # No path of this machine.
    assert str(tmp_path) not in "".join(path.read_text() for path in folder.rglob("*.json"))

    pipeline = open_sd3(folder)
    images = [
        pipeline(
            "a photo of a man, red background",
            num_inference_steps=2,
            max_sequence_length=0,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        for seed in (1, 1, 2)
    ]
    first, again, other = map(np.asarray, images)
    assert images[0].size == (64, 64)
    assert (first == again).all()
    assert (first != other).any()

    onward = replace(workspace, checkpoints=tmp_path / "second", start=workspace.checkpoints)
    assert (
        "an earlier training"
        in (make_flow_backbone(onward, short_schedule(1, 1e-5), command="again") / "CARD.md").read_text()
    )
    before, after = (
        SD3Transformer2DModel.from_pretrained(place / "transformer").state_dict()
        for place in (workspace.checkpoints, onward.checkpoints)
    )
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)


@pytest.mark.usefixtures("small")
def test_interrupted_training_ends_with_the_same_weights(parts: FrozenParts, tmp_path: Path) -> None:
    data = Squares()
    schedule = Schedule(steps=4, batch=4, learning_rate=1e-3, warm_up=1, decay_from=0.5)

    def trained(name: str, stop_at: int | None = None) -> torch.Tensor:
        network, attributes = initial_transformer(data, parts, seed=0)
        modules = nn.ModuleList([network, attributes])
        optimize(
            modules,
            flow_loss(network, attributes, data, parts, schedule, device=CPU, work=tmp_path),
            schedule,
            checkpoint=TrainingCheckpoint(tmp_path / name),
            progress=ignore_progress,
            device=CPU,
            stop_at=stop_at,
        )
        return torch.cat([p.detach().flatten() for p in modules.parameters()])

    expected = trained("whole.pt")
    trained("halves.pt", stop_at=2)
    assert torch.equal(trained("halves.pt"), expected)
