"""Fine-tunes a trained network with leave-one-out steps on one person's reference photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.precision import autocast
from methods.compute.progress_checks import check_losses, check_skipped
from methods.compute.seeding import seeded_generator
from methods.leave_one_out.network import LeaveOneOutNetwork, NetworkConfig
from methods.leave_one_out.objective import Objective, draw_batch, leave_one_out_loss
from methods.pretraining.features import TrainingFeatures


@dataclass(frozen=True)
class Tuning:
    """Optimisation settings."""

    steps: int
    learning_rate: float
    batch: int


def tune(
    network: LeaveOneOutNetwork,
    tuning: Tuning,
    backbone: Backbone,
    *,
    patches: Tensor,
    latents: Tensor,
    sentences: Sequence[str],
    seed: int,
) -> None:
    """Fine-tune `network` in place; restores the backbone.

    Photographs are not mirrored, because captions can contain left and right.
    """
    features = person_features(backbone, patches=patches, latents=latents, sentences=sentences)
    objective = tuning_objective(network.config)
    network.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(network.parameters(), tuning.learning_rate, weight_decay=0.0)
    # A backbone in half precision computes in it; autocast would compute in another one.
    half = backbone.dtype is not torch.float32
    scaler = torch.amp.GradScaler(backbone.device.type, enabled=backbone.dtype is torch.float16)
    losses, skipped = torch.zeros(tuning.steps, device=backbone.device), 0
    with backbone.clean(), network.adapter.attached(backbone.adapter_attention, scale=1.0):
        for step in range(tuning.steps):
            generator = seeded_generator(seed, step)
            batch = draw_batch(features, objective, backbone.noise, tuning.batch, generator, backbone.device)
            with autocast(backbone.device, "fp32" if half else "auto"):
                loss = leave_one_out_loss(network, batch, backbone, objective.noising).mean()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
            optimizer.zero_grad(set_to_none=True)
            losses[step] = loss.detach()
    check_losses("leave-one-out", losses)
    check_skipped("leave-one-out", skipped, tuning.steps)
    network.requires_grad_(False).eval()


def person_features(
    backbone: Backbone, *, patches: Tensor, latents: Tensor, sentences: Sequence[str]
) -> TrainingFeatures:
    """One person's photographs as a training set; the unmirrored photographs replace the mirror images."""
    count = len(patches)
    text = [backbone.encode_text([sentence]) for sentence in ("", *sentences)]
    index = torch.arange(1, count + 1)[:, None, None].expand(count, 2, 1)
    return TrainingFeatures(
        latents=torch.stack([latents, latents], dim=1).cpu(),
        patches=torch.stack([patches, patches], dim=1).cpu(),
        sentences=torch.cat([features.tokens for features in text]).cpu(),
        pooled=torch.cat([features.pooled for features in text]).cpu(),
        captions=index,
        embeds=None,
        nothing=torch.zeros_like(patches[0]).cpu(),
        order=torch.arange(count),
        start=torch.tensor([0]),
        count=torch.tensor([count]),
    )


def tuning_objective(config: NetworkConfig) -> Objective:
    """The objective of the network's training, but always with one photograph left out."""
    return Objective(
        noising="aggregate" if config.noising == "aggregate" else "held-out",
        captions="blank" if config.captions == "blank" else "given",
        timestep_power=config.timestep_power,
    )
