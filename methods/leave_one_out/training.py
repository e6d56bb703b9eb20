"""Trains a leave-one-out aggregator over many people; the backbone and the image encoder stay frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.precision import autocast
from methods.compute.seeding import generator_of
from methods.encoders.clip_vision import EMBEDDED_CLIP, ImageEncoder, open_encoder
from methods.leave_one_out.network import (
    LeaveOneOutNetwork,
    NetworkConfig,
    load_network,
    read_config,
    save_network,
)
from methods.leave_one_out.objective import Objective, draw_batch, leave_one_out_loss
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.features import TrainingFeatures, training_features
from methods.pretraining.loop import PeriodicEvaluation, Progress, Schedule, optimize
from methods.trained_on import data_learnt

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
    validate_every: int = 250
    """Steps between two measurements on unseen people, where there are any."""


def train_leave_one_out(
    data: TrainingSet,
    out: Path,
    *,
    training: LeaveOneOutTraining,
    backbone: Backbone,
    schedule: Schedule,
    work: Path,
    progress: Progress,
    unseen: TrainingSet | None = None,
) -> Mapping[str, float]:
    """Write trained weights to `out`; returns the losses on `unseen`, people that are not in `data`.

    `work` keeps the features of both, the checkpoint to resume from, and `<out>.csv`, the loss curve with
    the validation loss. Runs on the backbone's device, on every process that was launched, and leaves the
    backbone as it was.
    """
    encoder = open_encoder(training.encoder, backbone.device)
    features = training_features(data, work, backbone=backbone, encoder=encoder, progress=progress)
    judged = (
        training_features(unseen, work, backbone=backbone, encoder=encoder, progress=progress)
        if unseen is not None
        else None
    )
    config = config_of(training, features, backbone=backbone, encoder=encoder, steps=schedule.steps)
    network = _begun(config, training, backbone, schedule.seed)
    with backbone.clean():
        _minimise(network, features, judged, training, backbone, schedule, work / f"{out.stem}.pt", progress)
    if DistributedGroup.here().leads:
        save_network(out, network, config, dtype=torch.float16)
    DistributedGroup.here().wait()
    if judged is None:
        return {}
    return validation_losses(network, judged, training.objective, backbone=backbone, batches=8)


def config_of(
    training: LeaveOneOutTraining,
    features: TrainingFeatures,
    *,
    backbone: Backbone,
    encoder: ImageEncoder,
    steps: int,
) -> NetworkConfig:
    """What the weights' file will say of itself."""
    objective = training.objective
    return NetworkConfig(
        aggregator=training.aggregator,
        patch_width=encoder.width,
        caption_width=features.pooled.shape[1],
        width=backbone.cross_attention_dim,
        tokens=training.tokens,
        hidden=training.hidden,
        depth=training.depth,
        shortcut=training.shortcut,
        noising=objective.noising,
        leave_out=objective.leave_out,
        captions=objective.captions,
        smallest_set=objective.smallest_set,
        largest_set=objective.largest_set,
        timestep_power=objective.timestep_power,
        family=backbone.family,
        backbone=backbone.digest,
        encoder=encoder.name,
        encoder_digest=encoder.digest,
        training_data=data_learnt(training.data_name, training.start, "config", "training_data"),
        training_people=len(features.count),
        steps=steps,
        started_from=_origin(training.start),
    )


def _origin(start: Path | None) -> str:
    if start is None:
        return ""
    config = read_config(start)
    return f"{config.aggregator} after {config.steps} steps"


def _begun(
    config: NetworkConfig, training: LeaveOneOutTraining, backbone: Backbone, seed: int
) -> LeaveOneOutNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LeaveOneOutNetwork(config, backbone.unet)
    if training.start is None:
        network.zero_init()
    else:
        network.load_matching_weights(
            load_network(training.start, backbone.unet, width=backbone.cross_attention_dim)
        )
    # The backbone may be in half precision; what learns is not.
    return network.float().to(backbone.device)


def _minimise(
    network: LeaveOneOutNetwork,
    features: TrainingFeatures,
    judged: TrainingFeatures | None,
    training: LeaveOneOutTraining,
    backbone: Backbone,
    schedule: Schedule,
    checkpoint: Path,
    progress: Progress,
) -> None:
    objective, device = training.objective, backbone.device

    def loss(step: int, generator: torch.Generator, rows: slice) -> Tensor:
        batch = draw_batch(features, objective, backbone.noise, schedule.batch, generator, device, rows)
        return leave_one_out_loss(network, batch, backbone, objective.noising).mean()

    def measure() -> Mapping[str, float]:
        assert judged is not None
        losses = validation_losses(network, judged, objective, backbone=backbone, batches=2)
        return {f"{name}, unseen people": value for name, value in losses.items()}

    watch = None if judged is None else PeriodicEvaluation(training.validate_every, measure)
    with network.adapter.on(backbone.unet, scale=1.0):
        optimize(
            network,
            loss,
            schedule,
            checkpoint=TrainingCheckpoint(checkpoint, _about(network.config, objective, schedule)),
            progress=progress,
            device=device,
            evaluation=watch,
        )


def _about(config: NetworkConfig, objective: Objective, schedule: Schedule) -> dict[str, str]:
    """What must not change when a training is resumed; its length may."""
    told = {**asdict(config), **asdict(objective), "batch": schedule.batch, "seed": schedule.seed}
    told |= {"learning rate": schedule.learning_rate}
    return {name: str(value) for name, value in told.items() if name != "steps"}


@torch.no_grad()
def validation_losses(
    network: LeaveOneOutNetwork,
    features: TrainingFeatures,
    objective: Objective,
    *,
    backbone: Backbone,
    batches: int,
) -> dict[str, float]:
    """Mean loss over fixed draws with t uniform: `loss`, and `without`, the backbone's own.

    At most `batches` batches of 64 rows, and no more rows than there are photographs. The gap between the
    two is what the photographs are worth to the backbone. The adapter may be on the U-Net or not.
    """
    everything = replace(objective, drop_image=0.0, drop_text=0.0, drop_both=0.0, timestep_power=1.0)
    sums = {"loss": 0.0, "without": 0.0}
    size = min(64, len(features.latents))
    batches = min(batches, len(features.latents) // size)
    for index in range(batches):
        generator = generator_of(index)
        batch = draw_batch(features, everything, backbone.noise, size, generator, backbone.device)
        for name, scale in (("loss", 1.0), ("without", 0.0)):
            with autocast(backbone.device), network.adapter.on(backbone.unet, scale=scale):
                rows = leave_one_out_loss(network, batch, backbone, objective.noising)
            sums[name] += rows.mean().item() / batches
    return sums
