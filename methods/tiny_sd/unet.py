"""The U-Net of the tiny Stable Diffusion and its training on captioned photographs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from methods.backbone.noise_schedule import NoiseSchedule
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Progress, RowLoss, Schedule, optimize
from methods.tiny_sd.attribute_tokens import ATTRIBUTES_SHARE, AttributeConditioning
from methods.tiny_sd.autoencoder import encode_all
from methods.tiny_sd.captions import CaptionBank, caption_bank, plain_captions
from methods.tiny_sd.tokenizer import token_ids
from methods.tiny_sd.widening import widened_unet

SCHEDULE = Schedule(steps=3_300, batch=64, learning_rate=1.2e-3, warm_up=200, decay_from=0.4)
CONTINUED_SCHEDULE = Schedule(steps=3_000, batch=64, learning_rate=1e-3, warm_up=200, decay_from=0.3, seed=1)
"""For training that starts from a finished network; another seed, so that the noise is not repeated."""
ATTRIBUTES_SCHEDULE = Schedule(steps=300, batch=64, learning_rate=3e-3, warm_up=20, decay_from=0.5, ema=0.98)
"""For attribute tokens that are new to a trained U-Net; they are first trained alone."""
EMPTY_CAPTION_SHARE: Final = 0.1
"""Share of the training images with an empty caption, for classifier-free guidance."""

TIMESTEP_POWER: Final = 2.0
"""The density of time steps is t^(TIMESTEP_POWER - 1). High noise determines the identity; at low noise most
of the loss is irreducible."""
FACE_REGION: Final = (slice(4, 13), slice(4, 12))
"""Rows and columns of the eye-aligned faces, from brows to chin, in sixteenths of the image."""
FACE_WEIGHT: Final = 4.0
"""Weight of an error in `FACE_REGION` relative to one outside."""


@dataclass(frozen=True)
class FrozenParts:
    """The finished networks around the U-Net; they are not trained with it."""

    autoencoder: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer


def new_unet(
    *, channels: int, size: int, text_width: int, widths: tuple[int, ...] = (64, 128, 192)
) -> UNet2DConditionModel:
    """An untrained U-Net with cross-attention at every resolution; at the finest only in the up blocks.

    Image tokens act only through cross-attention. Without it at the finest resolution, no adapter could
    change the details that fine-tuning can. Stable Diffusion also has it in the first down block, where it
    would add a tenth to the time of a step.
    """
    levels = len(widths)
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * (levels - 1)),
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=text_width,
        attention_head_dim=tuple(width // 32 for width in widths),
        norm_num_groups=16,
    )


def new_scheduler() -> DDIMScheduler:
    """Cosine schedule, v-prediction; its last step is nearly pure noise, which flat backgrounds need."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=1,
    )


@cache
def _noise_schedule() -> NoiseSchedule:
    scheduler = new_scheduler()
    return NoiseSchedule(scheduler.alphas_cumprod, scheduler.config.prediction_type)


def initial_unet(
    data: TrainingSet,
    parts: FrozenParts,
    *,
    seed: int,
    widths: tuple[int, ...] = (64, 128, 192),
    start: UNet2DConditionModel | None = None,
) -> tuple[UNet2DConditionModel, AttributeConditioning]:
    """The U-Net and the attribute tokens that `train_unet` trains.

    `start` is a trained U-Net; it is widened if it has fewer latent channels or attention layers.
    """
    torch.manual_seed(seed)
    unet = new_unet(
        channels=parts.autoencoder.config.latent_channels,
        size=data.pixels.shape[1] // 2 ** (len(parts.autoencoder.config.block_out_channels) - 1),
        text_width=parts.text_encoder.config.hidden_size,
        widths=widths,
    )
    width = parts.text_encoder.config.hidden_size
    attributes = AttributeConditioning(data.descriptions, width, new_to_unet=start is not None)
    return widened_unet(start, unet) if start else unet, attributes


def train_unet(
    unet: UNet2DConditionModel,
    attributes: AttributeConditioning,
    data: TrainingSet,
    parts: FrozenParts,
    *,
    schedule: Schedule,
    checkpoint: Path,
    device: torch.device,
    progress: Progress,
) -> None:
    """Minimise w || v - v_theta(X_t, c, t) ||^2 (Salimans & Ho 2022) over the U-Net and the attribute tokens.

    w is `face_weight`, the density of t is t^(TIMESTEP_POWER - 1), and c is the caption, often with attribute
    tokens. Tokens that are new to a trained U-Net are first trained alone: as noise next to the captions,
    they would teach the U-Net to ignore them.
    """
    parts.text_encoder.to(device).eval()
    parts.autoencoder.to(device).eval()
    modules = nn.ModuleList([unet, attributes]).to(device)
    if device.type == "cpu":
        # On a CPU, the backward pass of fused attention is the slowest part of a step; plain takes a third.
        unet.set_attn_processor(AttnProcessor())
    loss = _loss(unet, attributes, data, parts, schedule, device)

    def run(module: nn.Module, schedule: Schedule, path: Path) -> None:
        optimize(
            module, loss, schedule, checkpoint=TrainingCheckpoint(path), progress=progress, device=device
        )

    if attributes.new_to_unet and not checkpoint.exists():
        unet.requires_grad_(False)
        steps = min(ATTRIBUTES_SCHEDULE.steps, schedule.steps)
        alone = replace(ATTRIBUTES_SCHEDULE, steps=steps, batch=schedule.batch)
        run(attributes, alone, checkpoint.with_name("describer.pt"))
        unet.requires_grad_(True)
    run(modules, schedule, checkpoint)


def _loss(
    unet: UNet2DConditionModel,
    attributes: AttributeConditioning,
    data: TrainingSet,
    parts: FrozenParts,
    schedule: Schedule,
    device: torch.device,
) -> RowLoss:
    noising = _noise_schedule()
    weight = face_weight(unet.config.sample_size).to(device)

    # Encoding takes minutes. Deferred, because a training with a finished checkpoint does not need it.
    @cache
    def encoded() -> _EncodedSet:
        with torch.autocast(device.type, enabled=False):
            return _EncodedSet.of(data, parts, schedule.seed + 1, device)

    def loss(step: int, generator: torch.Generator, rows: slice) -> Tensor:
        batch = encoded().sample(schedule.batch, generator)
        clean, ids, t, noise, chosen, described = (part[rows] for part in batch)
        noised, target = noising.add(clean, noise, t), noising.target(clean, noise, t)
        with torch.no_grad():
            context = parts.text_encoder(ids.to(device))[0]
        context, mask = attributes.append_to(context, chosen, described)
        predicted = unet(
            noised.to(device), t.to(device), encoder_hidden_states=context, encoder_attention_mask=mask
        ).sample
        error: Tensor = ((predicted.float() - target.to(device)).square() * weight).mean()
        return error

    return loss


def face_weight(size: int) -> Tensor:
    """Loss weights, size x size, mean 1; eyes, nose and mouth are a small part of the image."""
    weight = torch.ones(16, 16)
    weight[FACE_REGION] = FACE_WEIGHT
    weight = F.interpolate(weight[None, None], size=(size, size), mode="area")[0, 0]
    return weight / weight.mean()


@dataclass(frozen=True)
class _EncodedSet:
    """The training set as encoded inputs of the U-Net."""

    latents: Tensor
    """N x 2 x C x h x w, half; the second axis is (original, mirrored)."""
    captions: CaptionBank
    empty: Tensor
    """Token ids of the empty caption, 1 x MAX_LENGTH."""

    @classmethod
    def of(cls, data: TrainingSet, parts: FrozenParts, seed: int, device: torch.device) -> _EncodedSet:
        views = (data.pixels, data.pixels[:, :, ::-1])
        latents = [encode_all(parts.autoencoder, pixels, device).half() for pixels in views]
        empty = torch.tensor(token_ids(parts.tokenizer, [""]))
        return cls(torch.stack(latents, dim=1), caption_bank(data, parts.tokenizer, seed=seed), empty)

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Latents, caption ids, time steps, noise, rows of the training set, flags for attribute tokens."""
        rows = torch.randint(len(self.latents), (size,), generator=generator)
        mirrored = torch.rand(size, generator=generator) < 0.5
        ids = self.captions.sample(rows, mirrored, generator)
        without = torch.rand(size, generator=generator) < EMPTY_CAPTION_SHARE
        ids = torch.where(without[:, None], self.empty, ids)
        t = _noise_schedule().sample_timesteps(size, generator, timestep_power=TIMESTEP_POWER)
        latents = self.latents[rows, mirrored.long()].float()
        noise = torch.randn(latents.shape, generator=generator)
        return latents, ids, t, noise, rows, torch.rand(size, generator=generator) < ATTRIBUTES_SHARE


def save_pipeline(folder: Path, parts: FrozenParts, unet: UNet2DConditionModel) -> None:
    """Write a folder that `StableDiffusionPipeline.from_pretrained` opens; weights in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=parts.autoencoder,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    # Weights are stored in half precision but used in float32. transformers would load the text encoder in
    # the config's dtype and diffusers the U-Net in float32, which is a mismatch.
    _rewrite(folder / "text_encoder" / "config.json", dtype="float32")
    # diffusers writes the path each part was loaded from, which is specific to this machine.
    for part in ("unet", "vae"):
        _rewrite(folder / part / "config.json", _name_or_path=None)


def _rewrite(config: Path, **changes: str | None) -> None:
    """Change entries of a JSON file; None removes one."""
    removed = {name for name, value in changes.items() if value is None}
    entries = {**json.loads(config.read_text(encoding="utf-8")), **changes}
    kept = {name: value for name, value in entries.items() if name not in removed}
    config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def denoising_error(
    unet: UNet2DConditionModel,
    parts: FrozenParts,
    unseen: TrainingSet,
    *,
    device: torch.device,
    images: int = 512,
) -> float:
    """Mean squared error of the predicted velocity on unseen people, over the whole schedule."""
    pixels = unseen.pixels[:images]
    latents = encode_all(parts.autoencoder, pixels, device)
    ids = torch.tensor(token_ids(parts.tokenizer, plain_captions(unseen, len(pixels))))
    t = (torch.arange(len(pixels)) * 1000 // len(pixels)).long()
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noising = _noise_schedule()
    noised, target = noising.add(latents, noise, t), noising.target(latents, noise, t)
    errors = []
    for rows in torch.arange(len(pixels)).split(64):
        context = parts.text_encoder(ids[rows].to(device))[0]
        predicted = unet(noised[rows].to(device), t[rows].to(device), encoder_hidden_states=context).sample
        errors.append((predicted.cpu() - target[rows]).square().mean())
    return float(torch.stack(errors).mean())
