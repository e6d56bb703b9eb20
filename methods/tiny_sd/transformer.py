"""The transformer of the tiny Stable Diffusion 3 and its training by rectified flow."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from torch import Tensor, nn

from methods.backbone.rectified_flow import STEPS, RectifiedFlow
from methods.compute.cuda_graphs import GraphedNetwork
from methods.compute.device import copied
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import RowLoss, Schedule
from methods.tiny_sd.attribute_tokens import AttributeConditioning
from methods.tiny_sd.encoded_set import EncodedSet, FrozenParts, face_weight, unseen_inputs

SCHEDULE = Schedule(steps=6_000, batch=64, learning_rate=1e-3, warm_up=200, decay_from=0.6)
CONTINUED_SCHEDULE = Schedule(steps=6_000, batch=64, learning_rate=6e-4, warm_up=200, decay_from=0.3, seed=1)
"""For training that starts from a finished network; another seed, so that the noise is not repeated."""
CAPTION_LENGTH: Final = 36
"""Tokens per caption, with start and end. One caption in a thousand is longer; every token costs time."""
ATTRIBUTES_SHARE: Final = 0.4
"""Share of the training images whose context contains attribute tokens."""
T5_SHARE: Final = 0.05
"""Share of the steps with zeros in the place of T5's tokens, as the pipeline has them where T5 is absent.

Without such steps, images at the pipeline's default length would be damaged; more would take longer.
"""
T5_TOKENS: Final = 256
"""The default length of the pipeline. In training, lengths up to it are equally likely."""
HEAD_WIDTH: Final = 32
PATCH: Final = 2
"""Rows and columns of the latent in one token."""
NOISE: Final = RectifiedFlow(weighting_scheme="logit_normal")
"""Of the training; noise levels are logit-normal(0, 1), as of Stable Diffusion 3 (Esser et al. 2024)."""


def new_transformer(
    *, channels: int, size: int, text_width: int, layers: int = 6, heads: int = 6
) -> SD3Transformer2DModel:
    """An untrained transformer for latents of `channels` x `size` x `size`, in Stable Diffusion 3.5's design.

    `text_width` is that of one CLIP text encoder; the design has two.
    """
    width = heads * HEAD_WIDTH
    return SD3Transformer2DModel(
        sample_size=size,
        patch_size=PATCH,
        in_channels=channels,
        out_channels=channels,
        num_layers=layers,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=heads,
        joint_attention_dim=2 * text_width,
        caption_projection_dim=width,
        pooled_projection_dim=2 * text_width,
        pos_embed_max_size=size // PATCH,
        qk_norm="rms_norm",
    )


def new_flow_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Rectified flow with Euler's method; no shift, since the latents are small."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=STEPS, shift=NOISE.shift)


def initial_transformer(
    data: TrainingSet,
    parts: FrozenParts,
    *,
    seed: int,
    start: SD3Transformer2DModel | None = None,
) -> tuple[SD3Transformer2DModel, AttributeConditioning]:
    """The transformer (`start`, if given) and the attribute tokens that are trained together."""
    torch.manual_seed(seed)
    transformer = start or new_transformer(
        channels=parts.autoencoder.config.latent_channels,
        size=data.pixels.shape[1] // 2 ** (len(parts.autoencoder.config.block_out_channels) - 1),
        text_width=parts.text_encoder.config.hidden_size,
    )
    return transformer, AttributeConditioning(data.descriptions, transformer.config.joint_attention_dim)


@torch.no_grad()
def text_inputs(parts: FrozenParts, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The transformer's context, B x L x 2 W, and pooled text, B x 2 W, as Stable Diffusion 3 computes them.

    The two CLIP text encoders are the same here, so every feature occurs twice.
    """
    encoded = parts.text_encoder(ids, output_hidden_states=True)
    return torch.cat([encoded.hidden_states[-2]] * 2, -1), torch.cat([encoded.pooler_output] * 2, -1)


def flow_loss(
    transformer: SD3Transformer2DModel,
    attributes: AttributeConditioning,
    data: TrainingSet,
    parts: FrozenParts,
    schedule: Schedule,
    *,
    device: torch.device,
    work: Path,
) -> RowLoss:
    """w || eps - x - v_theta(x_t, c, t) ||^2, for training the transformer and the attribute tokens.

    w is `face_weight`, t has the density of `NOISE`, and c is the caption, often with attribute tokens.
    `work` is the folder of the latents.
    """
    parts.text_encoder.to(device).eval()
    parts.autoencoder.to(device).eval()
    weight = face_weight(transformer.config.sample_size).to(device)

    velocity_of = GraphedNetwork(_Velocity(transformer))

    # Deferred, because a training with a finished checkpoint does not need it.
    @cache
    def encoded() -> EncodedSet:
        return EncodedSet.of(data, parts, schedule.seed + 1, device, work)

    def loss(step: int, generator: torch.Generator, rows: slice) -> Tensor:
        batch = encoded().sample(schedule.batch, generator, NOISE.sample_timesteps, ATTRIBUTES_SHARE)
        batch = batch.part(rows)
        x_t = NOISE.add(batch.latents, batch.noise, batch.t)
        target = NOISE.target(batch.latents, batch.noise, batch.t)
        x_t, t, ids, target = (copied(each, device) for each in (x_t, batch.t, batch.ids, target))
        context, pooled = text_inputs(parts, ids)
        t5_length = _sample_t5_length(generator)
        context = F.pad(context, (0, 0, 0, t5_length))
        # Lengths vary too much for a graph each.
        run = velocity_of.network if t5_length else velocity_of
        predicted = torch.empty_like(x_t)
        # The transformer has no attention mask, so images with and without attribute tokens are two passes.
        for described in (False, True):
            chosen = torch.nonzero((batch.described & attributes.available) == described).squeeze(1)
            if len(chosen) == 0:
                continue
            there = chosen.to(device)
            tokens = context[there]
            if described:
                tokens, _ = attributes.append_to(tokens, batch.rows[chosen], batch.described[chosen])
            velocity = run(x_t[there], tokens, pooled[there], t[there])
            predicted = predicted.index_copy(0, there, velocity.float())
        error: Tensor = ((predicted - target).square() * weight).mean()
        return error

    return loss


class _Velocity(nn.Module):
    """The transformer with tensors as its only arguments: x_t, context, pooled text and times."""

    def __init__(self, transformer: SD3Transformer2DModel) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, x_t: Tensor, context: Tensor, pooled: Tensor, t: Tensor) -> Tensor:
        velocity: Tensor = self.transformer(
            x_t,
            encoder_hidden_states=context,
            pooled_projections=pooled,
            timestep=t,
            return_dict=False,
        )[0]
        return velocity


def _sample_t5_length(generator: torch.Generator) -> int:
    length = int(torch.randint(1, T5_TOKENS + 1, (), generator=generator))
    return length if torch.rand((), generator=generator) < T5_SHARE else 0


@torch.no_grad()
def velocity_error(
    transformer: SD3Transformer2DModel,
    parts: FrozenParts,
    unseen: TrainingSet,
    *,
    device: torch.device,
    images: int = 512,
) -> float:
    """Mean squared error of the predicted velocity on unseen people, over uniform noise levels."""
    latents, ids, noise = unseen_inputs(unseen, parts, images, device)
    t = STEPS * (torch.arange(len(ids)) + 0.5) / len(ids)
    errors = []
    for rows in torch.arange(len(ids)).split(64):
        context, pooled = text_inputs(parts, ids[rows].to(device))
        predicted = transformer(
            NOISE.add(latents[rows], noise[rows], t[rows]).to(device),
            encoder_hidden_states=context,
            pooled_projections=pooled,
            timestep=t[rows].to(device),
            return_dict=False,
        )[0]
        errors.append((predicted.cpu() - (noise - latents)[rows]).square().mean((1, 2, 3)))
    return float(torch.cat(errors).mean())
