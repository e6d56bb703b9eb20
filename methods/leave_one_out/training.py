"""Trains a leave-one-out aggregator on many people; the backbone and the image encoder are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.precision import autocast, gradient_checkpointing
from methods.compute.seeding import seeded_generator
from methods.encoders.clip_vision import EMBEDDED_CLIP, ImageEncoder, open_encoder
from methods.encoders.resampler import HEAD
from methods.errors import MethodError
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
from methods.pretraining.loop import PeriodicEvaluation, Progress, Schedule, optimize, row_slices
from methods.trained_on import combined_training_data

SCHEDULE = Schedule(steps=1_000, batch=48, learning_rate=1e-3, warm_up=100, decay_from=0.4, ema=0.995)
ARCHITECTURE = ("aggregator", "tokens", "hidden", "depth", "shortcut")
"""Settings that a `NetworkConfig` copies from `LeaveOneOutTraining`."""
OBJECTIVE = ("noising", "leave_out", "captions", "smallest_set", "largest_set", "timestep_power")
"""Settings that a `NetworkConfig` copies from `Objective`."""


@dataclass(frozen=True)
class LeaveOneOutTraining:
    """Settings of the network and its objective; `Schedule` contains steps and learning rate."""

    aggregator: str
    objective: Objective = field(default_factory=Objective)
    tokens: int = 8
    hidden: int = 128
    depth: int = 2
    shortcut: bool = False
    encoder: Path = EMBEDDED_CLIP
    start: Path | None = None
    """Weights of another aggregator to continue from; all weights except the aggregator's are copied.

    An untrained learned aggregator outputs the mean. So the mean can be trained first, and the others can
    continue from it in few steps.
    """
    data_name: str = ""
    """Name of the training set, recorded in the file to detect training overlap."""
    validate_every: int = 250
    """Steps between two validation losses, if there is validation data."""

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.depth < 1 or self.hidden < HEAD or self.hidden % HEAD:
            raise MethodError(
                f"leave-one-out: tokens {self.tokens}, hidden {self.hidden}, depth {self.depth}; expected at "
                f"least 1 token, hidden a multiple of {HEAD}, and depth at least 1"
            )


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
    """Train and write the weights to `out`; returns the losses on `unseen`, whose people are not in `data`.

    `work` contains the cached features, the checkpoint to resume from, and the loss curve (`<out>.csv`). Runs
    on the backbone's device, in every process of the launch, and restores the backbone.
    """
    # First, because features take long to compute.
    _ = backbone.adapter_attention
    encoder = open_encoder(training.encoder, backbone.device)
    features = training_features(data, work, backbone=backbone, encoder=encoder, progress=progress)
    validation = (
        training_features(unseen, work, backbone=backbone, encoder=encoder, progress=progress)
        if unseen is not None
        else None
    )
    config = network_config(training, features, backbone=backbone, encoder=encoder, steps=schedule.steps)
    network = _initialise(config, training, backbone, schedule.seed)
    with backbone.clean():
        _minimise(
            network, features, validation, training, backbone, schedule, work / f"{out.stem}.pt", progress
        )
    if DistributedGroup.current().is_main:
        save_network(out, network, config, dtype=torch.float16)
    DistributedGroup.current().wait()
    if validation is None:
        return {}
    return validation_losses(
        network,
        validation,
        training.objective,
        backbone=backbone,
        batches=8,
        rows_at_once=schedule.rows_at_once,
    )


def network_config(
    training: LeaveOneOutTraining,
    features: TrainingFeatures,
    *,
    backbone: Backbone,
    encoder: ImageEncoder,
    steps: int,
) -> NetworkConfig:
    """The config to store in the weights file."""
    settings = {name: getattr(training, name) for name in ARCHITECTURE}
    settings |= {name: getattr(training.objective, name) for name in OBJECTIVE}
    return NetworkConfig(
        **settings,
        patch_width=encoder.width,
        caption_width=features.pooled.shape[1],
        width=backbone.adapter_attention.token_width,
        family=backbone.family,
        backbone=backbone.digest,
        encoder=encoder.name,
        encoder_digest=encoder.digest,
        training_data=combined_training_data(training.data_name, training.start, "config", "training_data"),
        training_people=len(features.count),
        steps=steps,
        started_from=_origin(training.start),
    )


def _origin(start: Path | None) -> str:
    if start is None:
        return ""
    config = read_config(start)
    return f"{config.aggregator} after {config.steps} steps"


def _initialise(
    config: NetworkConfig, training: LeaveOneOutTraining, backbone: Backbone, seed: int
) -> LeaveOneOutNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LeaveOneOutNetwork(config, backbone.adapter_attention)
    if training.start is None:
        network.zero_init()
    else:
        network.load_matching_weights(load_network(training.start, backbone.adapter_attention))
    # Trained parameters are in single precision even if the backbone is in half.
    return network.float().to(backbone.device)


def _minimise(
    network: LeaveOneOutNetwork,
    features: TrainingFeatures,
    validation: TrainingFeatures | None,
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

    def evaluate() -> Mapping[str, float]:
        assert validation is not None
        losses = validation_losses(
            network, validation, objective, backbone=backbone, batches=2, rows_at_once=schedule.rows_at_once
        )
        return {f"{name}, unseen people": value for name, value in losses.items()}

    evaluation = None if validation is None else PeriodicEvaluation(training.validate_every, evaluate)
    checkpointing = gradient_checkpointing(backbone.network, enabled=schedule.gradient_checkpointing)
    with checkpointing, network.adapter.attached(backbone.adapter_attention, scale=1.0):
        optimize(
            network,
            loss,
            schedule,
            checkpoint=TrainingCheckpoint(checkpoint, _fixed_on_resume(network.config, objective, schedule)),
            progress=progress,
            device=device,
            evaluation=evaluation,
        )


def _fixed_on_resume(config: NetworkConfig, objective: Objective, schedule: Schedule) -> dict[str, str]:
    """Settings that a resumed training must keep; the number of steps may change."""
    settings = {**asdict(config), **asdict(objective), "batch": schedule.batch, "seed": schedule.seed}
    settings |= {"learning rate": schedule.learning_rate}
    return {name: str(value) for name, value in settings.items() if name != "steps"}


@torch.no_grad()
def validation_losses(
    network: LeaveOneOutNetwork,
    features: TrainingFeatures,
    objective: Objective,
    *,
    backbone: Backbone,
    batches: int,
    rows_at_once: int | None = None,
) -> dict[str, float]:
    """Mean loss over fixed samples with uniform t: `loss`, and `without`, the loss of the backbone alone.

    At most `batches` batches of 64 rows, and no more rows than there are photographs; they are computed
    whole, or in pieces of `rows_at_once` with the same samples. The difference is the gain from the
    photographs. The adapter may or may not be attached to the backbone.
    """
    everything = replace(objective, drop_image=0.0, drop_text=0.0, drop_both=0.0, timestep_power=1.0)
    sums = {"loss": 0.0, "without": 0.0}
    size = min(64, len(features.latents))
    batches = min(batches, len(features.latents) // size)
    for index, part in product(range(batches), row_slices(size, rows_at_once)):
        generator = seeded_generator(index)
        batch = draw_batch(features, everything, backbone.noise, size, generator, backbone.device, part)
        for name, scale in (("loss", 1.0), ("without", 0.0)):
            with autocast(backbone.device), network.adapter.attached(backbone.adapter_attention, scale=scale):
                rows = leave_one_out_loss(network, batch, backbone, objective.noising)
            sums[name] += rows.mean().item() * (len(rows) / size) / batches
    return sums
