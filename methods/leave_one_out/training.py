"""Trains a leave-one-out aggregator over many people; the backbone and the image encoder stay frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from methods.backbone import Backbone
from methods.image_encoder import EMBEDDED_CLIP, open_encoder
from methods.leave_one_out.network import (
    LeaveOneOutNetwork,
    NetworkConfig,
    load_network,
    read_config,
    save_network,
)
from methods.leave_one_out.objective import Objective, draw_batch, leave_one_out_loss
from methods.training import Progress, Schedule, train
from methods.training_features import TrainingFeatures, training_features
from methods.training_set import TrainingSet

SCHEDULE = Schedule(steps=1_000, batch=48, learning_rate=1e-3, warm_up=100, decay_from=0.4, ema=0.995)


@dataclass(frozen=True)
class LeaveOneOutTraining:
    """What is trained, beside how long and how fast."""

    aggregator: str
    objective: Objective = field(default_factory=Objective)
    tokens: int = 8
    hidden: int = 128
    depth: int = 2
    shortcut: bool = False
    encoder: Path = EMBEDDED_CLIP
    start: Path | None = None
    """Weights of another aggregator to go on from: all but the aggregator itself is taken over.

    An untrained aggregator of the learned kinds says what the mean says, so training the mean first
    and going on from it spends the long part once.
    """
    data_name: str = ""
    """Name of the training set, for the leak ledger."""


def train_leave_one_out(
    data: TrainingSet,
    out: Path,
    *,
    training: LeaveOneOutTraining,
    backbone: Backbone,
    schedule: Schedule,
    work: Path,
    progress: Progress,
) -> None:
    """Write trained weights to `out`; `work` keeps the data's features and the checkpoint to resume from.

    Runs on the backbone's device, and leaves the backbone as it was.
    """
    encoder = open_encoder(training.encoder, backbone.device)
    features = training_features(data, work, backbone=backbone, encoder=encoder, progress=progress)
    config = NetworkConfig(
        aggregator=training.aggregator,
        patch_width=encoder.width,
        caption_width=features.pooled.shape[1],
        width=backbone.cross_attention_dim,
        tokens=training.tokens,
        hidden=training.hidden,
        depth=training.depth,
        shortcut=training.shortcut,
        noising=training.objective.noising,
        backbone=backbone.digest,
        encoder=encoder.name,
        encoder_digest=encoder.digest,
        training_data=training.data_name,
        steps=schedule.steps,
        started_from=_origin(training.start),
    )
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        network = LeaveOneOutNetwork(config, backbone.unet)
    if training.start is not None:
        network.take_over(load_network(training.start, backbone.unet, width=backbone.cross_attention_dim))
    network = network.to(backbone.device)
    with backbone.clean():
        _minimise(
            network, features, training.objective, backbone, schedule, work / f"{out.stem}.pt", progress
        )
    save_network(out, network, config, dtype=torch.float16)


def _origin(start: Path | None) -> str:
    if start is None:
        return ""
    config = read_config(start)
    return f"{config.aggregator} after {config.steps} steps"


def _minimise(
    network: LeaveOneOutNetwork,
    features: TrainingFeatures,
    objective: Objective,
    backbone: Backbone,
    schedule: Schedule,
    checkpoint: Path,
    progress: Progress,
) -> None:
    device, unet = backbone.device, backbone.unet

    def loss(step: int, generator: torch.Generator) -> Tensor:
        batch = draw_batch(features, objective, schedule.batch, generator, device)
        t = backbone.noise.draw(schedule.batch, generator).to(device)
        eps = torch.randn(batch.latents.shape, generator=generator).to(device)
        rows = leave_one_out_loss(
            network, batch, unet, noise=backbone.noise, noising=objective.noising, t=t, eps=eps
        )
        return rows.mean()

    with network.adapter.on(unet, scale=1.0):
        train(network, loss, schedule, checkpoint=checkpoint, progress=progress, device=device)


@torch.no_grad()
def validation_loss(
    network: LeaveOneOutNetwork,
    features: TrainingFeatures,
    objective: Objective,
    *,
    backbone: Backbone,
    batches: int,
) -> tuple[float, float]:
    """Mean loss on unseen people, over fixed draws: with their photographs, and without any.

    The gap between the two is what the photographs are worth to the backbone.
    """
    everything = replace(objective, drop_image=0.0, drop_text=0.0, drop_both=0.0)
    sums = [0.0, 0.0]
    with backbone.clean(), network.adapter.on(backbone.unet, scale=1.0):
        for index in range(batches):
            generator = torch.Generator().manual_seed(index)
            batch = draw_batch(features, everything, 64, generator, backbone.device)
            t = backbone.noise.draw(64, generator).to(backbone.device)
            eps = torch.randn(batch.latents.shape, generator=generator).to(backbone.device)
            for place, dropped in enumerate((False, True)):
                rows = leave_one_out_loss(
                    network,
                    replace(batch, dropped=torch.full_like(batch.dropped, dropped)),
                    backbone.unet,
                    noise=backbone.noise,
                    noising=objective.noising,
                    t=t,
                    eps=eps,
                )
                sums[place] += rows.mean().item()
    seen, unseen = (total / max(1, batches) for total in sums)
    assert math.isfinite(seen)
    return seen, unseen
