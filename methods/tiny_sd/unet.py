"""The U-Net of the tiny Stable Diffusion and its training on captioned photographs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn

from methods.backbone.noise_schedule import VariancePreserving
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Progress, RowLoss, Schedule, optimize
from methods.tiny_sd.attribute_tokens import ATTRIBUTES_SHARE, AttributeConditioning
from methods.tiny_sd.encoded_set import EncodedSet, FrozenParts, face_weight, unseen_inputs
from methods.tiny_sd.widening import widened_unet

SCHEDULE = Schedule(steps=3_300, batch=64, learning_rate=1.2e-3, warm_up=200, decay_from=0.4)
CONTINUED_SCHEDULE = Schedule(steps=3_000, batch=64, learning_rate=1e-3, warm_up=200, decay_from=0.3, seed=1)
"""For training that starts from a finished network; another seed, so that the noise is not repeated."""
ATTRIBUTES_SCHEDULE = Schedule(steps=300, batch=64, learning_rate=3e-3, warm_up=20, decay_from=0.5, ema=0.98)
"""For attribute tokens that are new to a trained U-Net; they are first trained alone."""
TIMESTEP_POWER: Final = 2.0
"""The density of time steps is t^(TIMESTEP_POWER - 1). High noise determines the identity; at low noise most
of the loss is irreducible."""


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
def _noise_schedule() -> VariancePreserving:
    scheduler = new_scheduler()
    return VariancePreserving(scheduler.alphas_cumprod, scheduler.config.prediction_type)


def _sample_timesteps(count: int, generator: torch.Generator) -> Tensor:
    return _noise_schedule().sample_timesteps(count, generator, timestep_power=TIMESTEP_POWER)


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
    loss = _loss(unet, attributes, data, parts, schedule, device, checkpoint.parent)

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
    work: Path,
) -> RowLoss:
    noising = _noise_schedule()
    weight = face_weight(unet.config.sample_size).to(device)

    # Deferred, because a training with a finished checkpoint does not need it.
    @cache
    def encoded() -> EncodedSet:
        return EncodedSet.of(data, parts, schedule.seed + 1, device, work)

    def loss(step: int, generator: torch.Generator, rows: slice) -> Tensor:
        batch = encoded().sample(schedule.batch, generator, _sample_timesteps, ATTRIBUTES_SHARE)
        clean, ids, t, noise, chosen, described = batch.part(rows)
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
    latents, ids, noise = unseen_inputs(unseen, parts, images, device)
    t = (torch.arange(len(ids)) * 1000 // len(ids)).long()
    noising = _noise_schedule()
    noised, target = noising.add(latents, noise, t), noising.target(latents, noise, t)
    errors = []
    for rows in torch.arange(len(ids)).split(64):
        context = parts.text_encoder(ids[rows].to(device))[0]
        predicted = unet(noised[rows].to(device), t[rows].to(device), encoder_hidden_states=context).sample
        errors.append((predicted.cpu() - target[rows]).square().mean())
    return float(torch.stack(errors).mean())
