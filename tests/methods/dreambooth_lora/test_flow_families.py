"""DreamBooth-LoRA on transformers of rectified flow: the official loss, right pairs, diffusers' files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.training_utils import (
    compute_density_for_timestep_sampling,
    compute_loss_weighting_for_sd3,
)
from peft import LoraConfig
from safetensors import safe_open
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import TextFeatures
from methods.compute.seeding import seeded_generator
from methods.dreambooth_lora.method import DreamBoothLora
from methods.errors import MethodError
from methods.finetuning.instance_images import EpochShuffler
from methods.interface import Checkpoints
from methods.lora.checkpoint import FILE
from methods.subject import Request, Subject

QUICK = DreamBoothLora(
    steps=3, learning_rate=1e-2, captions="per-photo", crop="squeeze", latents="mode", rank=2
)
REQUEST = Request("a photo of {subject}, smiling", 3)


def learned(
    method: DreamBoothLora, subject: Subject, into: Path, backbone: Backbone, seed: int = 1
) -> Tensor:
    into.mkdir(exist_ok=True)
    return method.learn(subject, Checkpoints({method.steps: into}), backbone=backbone, seed=seed)


def official_prediction(
    family: str, transformer: Any, noisy: Tensor, timesteps: Tensor, text: TextFeatures
) -> Tensor:
    """The call of the transformer in train_dreambooth_lora_sd3.py and train_dreambooth_lora_flux.py."""
    arguments = {
        "encoder_hidden_states": text.tokens,
        "pooled_projections": text.pooled,
        "return_dict": False,
    }
    if family == "sd3":
        return transformer(hidden_states=noisy, timestep=timesteps, **arguments)[0]
    batch, channels, height, width = noisy.shape
    ids = FluxPipeline._prepare_latent_image_ids(batch, height // 2, width // 2, "cpu", torch.float32)
    velocity = transformer(
        hidden_states=FluxPipeline._pack_latents(noisy, batch, channels, height, width),
        timestep=timesteps / 1000,
        guidance=torch.tensor([1.0]).expand(batch),
        txt_ids=torch.zeros(text.tokens.shape[1], 3),
        img_ids=ids,
        **arguments,
    )[0]
    return FluxPipeline._unpack_latents(velocity, height * 8, width * 8, 8)


def official_losses(
    backbone: Backbone, subject: Subject, method: DreamBoothLora, *, precondition: bool
) -> list[float]:
    """The loop of diffusers' train_dreambooth_lora_sd3.py, with this project's random numbers."""
    pipe = DiffusionPipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    transformer, scheduler = pipe.transformer, FlowMatchEulerDiscreteScheduler(shift=backbone.noise.shift)
    transformer.requires_grad_(False)
    torch.manual_seed(1)
    targets = list(backbone.lora.targets)
    transformer.add_adapter(
        LoraConfig(r=2, lora_alpha=2, init_lora_weights="gaussian", target_modules=targets), "person"
    )
    parameters = [p for p in transformer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=method.weight_decay)
    prompts = [photo.caption.replace("{subject}", "sks woman") for photo in subject.references]
    images = [photo.image.convert("RGB").resize((SIDE, SIDE), 3) for photo in subject.references]
    clean, order = backbone.encode_images(images), EpochShuffler(len(images), seed=1)
    losses = []
    for step in range(method.steps):
        (row,) = order.rows(step, 1)
        generator = seeded_generator(1, step)
        model_input = clean[row : row + 1]
        u = compute_density_for_timestep_sampling("logit_normal", 1, 0.0, 1.0, 1.29, generator=generator)
        timesteps = scheduler.timesteps[(u * 1000).long()]
        noise = torch.randn(model_input.shape, generator=generator)
        sigmas = (timesteps / 1000).view(-1, 1, 1, 1)
        noisy = (1.0 - sigmas) * model_input + sigmas * noise
        text = backbone.encode_text([prompts[row]])
        prediction = official_prediction(backbone.family, transformer, noisy, timesteps, text)
        target = noise - model_input
        if precondition:
            prediction, target = prediction * (-sigmas) + noisy, model_input
        weighting = compute_loss_weighting_for_sd3("logit_normal", sigmas)
        loss = (weighting * (prediction - target) ** 2).reshape(1, -1).mean(1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("precondition", [True, False])
def test_losses_are_those_of_the_official_script(
    precondition: bool, subject: Subject, flow_backbone: Backbone, tmp_path: Path
) -> None:
    method = replace(QUICK, weighting_scheme="logit_normal", precondition_outputs=precondition)
    losses = learned(method, subject, tmp_path / "fit", flow_backbone)
    expected = official_losses(flow_backbone, subject, method, precondition=precondition)
    assert torch.allclose(losses, torch.tensor(expected), rtol=1e-3)
    assert len({round(loss, 4) for loss in expected}) == method.steps


@contextmanager
def recorded_inputs(backbone: Backbone) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The latents and the text of every row that the network reads, latents almost without noise."""
    rows: list[tuple[Tensor, Tensor]] = []

    def record(module: Any, args: Any, arguments: dict[str, Any]) -> None:
        latents = backbone.denoiser.unpacked(arguments["hidden_states"].detach(), SIDE)
        rows.extend(zip(latents, arguments["encoder_hidden_states"], strict=True))

    hook = backbone.network.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield rows
    finally:
        hook.remove()


def nearest(value: Tensor, among: Tensor) -> int:
    return int((among - value).flatten(1).square().sum(1).argmin())


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_every_image_is_trained_with_its_own_prompt_over_epochs(
    batch: int, subject: Subject, flow_backbone: Backbone, tmp_path: Path
) -> None:
    """Latents cached in another order than the prompts are the known fault of the official scripts."""
    # Hardly any noise.
    low_noise = replace(QUICK, weighting_scheme="logit_normal", logit_mean=7.0, shift=1.0)
    method = replace(low_noise, steps=4, batch=batch, prior_weight=1.0, class_pictures=2)
    prompts = [photo.caption.replace("{subject}", "sks woman") for photo in subject.references]
    text = flow_backbone.encode_text([*prompts, "a photo of a woman"]).tokens
    images = [photo.image.convert("RGB").resize((SIDE, SIDE), 3) for photo in subject.references]
    classes = flow_backbone.generate_latents(["a photo of a woman"] * 2, [7_000_000, 7_000_001])
    latents = torch.cat([flow_backbone.encode_images(images), classes])
    # Class images are generated and kept before the rows are recorded.
    learned(replace(method, steps=1), subject, tmp_path / "first", flow_backbone)
    with flow_backbone.clean(), recorded_inputs(flow_backbone) as rows:
        learned(method, subject, tmp_path / "fit", flow_backbone)
    pairs = [(min(nearest(x, latents), len(prompts)), nearest(tokens, text)) for x, tokens in rows]
    assert len(pairs) == 4 * 2 * batch
    assert all(image == prompt for image, prompt in pairs)
    assert len({image for image, _ in pairs}) == len(prompts) + 1
    for step in range(4):
        kinds = [image == len(prompts) for image, _ in pairs[step * 2 * batch :][: 2 * batch]]
        assert kinds == [False] * batch + [True] * batch


@pytest.mark.parametrize(
    "method",
    [QUICK, replace(QUICK, text_encoder=True, alpha=4.0), replace(QUICK, use_dora=True)],
    ids=["attention", "text-encoders, alpha", "dora"],
)
def test_diffusers_generates_the_same_image_from_the_file(
    method: DreamBoothLora, subject: Subject, flow_backbone: Backbone, tmp_path: Path
) -> None:
    backbone = flow_backbone
    method.fit(subject, tmp_path, backbone=backbone, seed=1)
    (ours,) = method.load(tmp_path, backbone=backbone).generate([REQUEST])
    pipe = DiffusionPipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(tmp_path, weight_name=FILE)
    theirs = pipe(
        ["a photo of sks woman, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=backbone.spec.guidance,
        height=SIDE,
        width=SIDE,
        max_sequence_length=backbone.spec.max_sequence_length,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).max() <= 1
    plain = backbone.generate(["a photo of sks woman, smiling"], [3])[0]
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(plain)).max() > 1


def test_file_has_diffusers_names_and_metadata(
    subject: Subject, flow_backbone: Backbone, tmp_path: Path
) -> None:
    replace(QUICK, text_encoder=True, alpha=4.0).fit(subject, tmp_path, backbone=flow_backbone, seed=1)
    with safe_open(tmp_path / FILE, "pt") as stored:
        names, metadata = set(stored.keys()), json.loads(stored.metadata()["lora_adapter_metadata"])
    own = {name for name in names if name.startswith("transformer.")}
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in own)
    assert {"transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight"} <= own
    assert {name.split(".")[0] for name in names} == set(flow_backbone.lora.networks)
    assert (metadata["transformer.r"], metadata["transformer.lora_alpha"]) == (2, 4)


@pytest.mark.parametrize(
    "changed",
    [
        {"weighting_scheme": "logit_normal"},
        {"weighting_scheme": "cosmap"},
        {"precondition_outputs": True},
        {"shift": 1.0 / 3},
        {"prior_weight": 1.0, "class_pictures": 2},
        {"targets": ("to_q",)},
        {"noise_offset": 0.5},
        {"guidance_scale": 5.0},
    ],
    ids=str,
)
def test_setting_changes_the_learned_weights(
    changed: dict[str, Any],
    subject: Subject,
    flow_backbone: Backbone,
    flow_folders: FlowFolders,
    tmp_path: Path,
) -> None:
    if "guidance_scale" in changed:
        flow_backbone = flow_folders.backbone("flux")
    losses = learned(replace(QUICK, **changed), subject, tmp_path / "fit", flow_backbone)
    plain = learned(QUICK, subject, tmp_path / "plain", flow_backbone)
    assert not torch.allclose(losses, plain, rtol=1e-6)


def test_training_lowers_the_loss(subject: Subject, flow_backbone: Backbone, tmp_path: Path) -> None:
    method = replace(QUICK, steps=30, batch=3, rank=8, learning_rate=2e-2)
    losses = learned(method, subject, tmp_path / "fit", flow_backbone)
    assert losses[-8:].mean() < 0.97 * losses[:8].mean()


def test_settings_of_the_other_kind_of_schedule_are_refused(
    subject: Subject, backbone: Backbone, flow_backbone: Backbone, tmp_path: Path
) -> None:
    for settings in ({"weighting_scheme": "logit_normal"}, {"shift": 2.0}, {"precondition_outputs": True}):
        with pytest.raises(
            MethodError, match=f"{next(iter(settings))}: only for backbones of rectified flow"
        ):
            replace(QUICK, **settings).fit(subject, tmp_path, backbone=backbone, seed=1)  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="min_snr weights a U-Net's loss"):
        replace(QUICK, min_snr=5.0).fit(subject, tmp_path, backbone=flow_backbone, seed=1)
    assert flow_backbone.state.leftovers(flow_backbone.pipe) == []


def test_lora_of_another_family_is_refused(
    subject: Subject, backbone: Backbone, flow_backbone: Backbone, tmp_path: Path
) -> None:
    QUICK.fit(subject, tmp_path, backbone=flow_backbone, seed=1)
    with pytest.raises(MethodError, match=FILE) as caught:
        QUICK.load(tmp_path, backbone=backbone).generate([REQUEST])
    assert "\n" not in str(caught.value)
