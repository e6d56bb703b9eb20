"""Trains an IP-Adapter (Ye et al. 2023), and writes it in the published layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from methods.backbone.attention.double_blocks import DoubleBlockAttention
from methods.backbone.attention.joint import JointAttention
from methods.backbone.attention.unet import UNetAttention
from methods.backbone.backbone import Backbone
from methods.compute.atomic_io import atomic_file
from methods.compute.file_header import sort_header
from methods.compute.precision import gradient_checkpointing
from methods.encoders.clip_vision import ImageEncoder, open_encoder
from methods.encoders.resampler import new_resampler
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import PublishedAdapter, read_adapter
from methods.ip_adapter.objective import (
    LAYOUTS,
    IPAdapterTraining,
    Summary,
    draw_batch,
    ip_adapter_loss,
    validation_losses,
)
from methods.ip_adapter.trainable_adapter import TrainableAdapter
from methods.ip_adapter.trainable_double_blocks import TrainableDoubleBlockAdapter
from methods.ip_adapter.trainable_joint import TrainableJointAdapter
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.features import TrainingFeatures, training_features
from methods.pretraining.loop import PeriodicEvaluation, Progress, Schedule, optimize
from methods.trained_on import combined_training_data

__all__ = [
    "SCHEDULE",
    "IPAdapterTraining",
    "TrainableAdapter",
    "draw_batch",
    "ip_adapter_loss",
    "save_adapter",
    "train_ip_adapter",
]

BASE_TOKENS = 4
SUMMARY_SAMPLE = 2_000
"""Photographs from which the spread of the summaries is estimated."""
SCHEDULE = Schedule(steps=1_000, batch=48, learning_rate=1e-3, warm_up=100, decay_from=0.4, ema=0.995)


def train_ip_adapter(
    data: TrainingSet,
    out: Path,
    *,
    training: IPAdapterTraining,
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
    encoder = open_encoder(training.encoder, backbone.device)

    def features_of(photos: TrainingSet) -> TrainingFeatures:
        return training_features(
            photos,
            work,
            backbone=backbone,
            encoder=encoder,
            embeddings=training.reads_embeddings,
            progress=progress,
        )

    features, validation = features_of(data), None if unseen is None else features_of(unseen)
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        # Trained parameters are in single precision even if the backbone is in half.
        adapter = new_adapter(training, backbone, encoder).float().to(backbone.device)
    metadata = _metadata(training, encoder, backbone)
    checkpoint = TrainingCheckpoint(work / f"{out.stem}.pt", {**metadata, **_fixed_on_resume(schedule)})

    def losses(batches: int) -> Mapping[str, float]:
        assert validation is not None
        rows = schedule.rows_at_once
        return validation_losses(
            adapter.set_scale, validation, training, backbone, batches=batches, rows_at_once=rows
        )

    def evaluate() -> Mapping[str, float]:
        return {f"{name}, unseen people": value for name, value in losses(2).items()}

    evaluation = None if validation is None else PeriodicEvaluation(training.validate_every, evaluate)
    with backbone.clean():
        adapter.attach(backbone.adapter_attention)
        try:
            _minimise(adapter, features, training, backbone, schedule, checkpoint, evaluation, progress)
            final_losses = {} if validation is None else losses(8)
        finally:
            backbone.restore()
    if DistributedGroup.current().is_main:
        settings = json.dumps({**metadata, "steps": str(schedule.steps)}, sort_keys=True)
        save_adapter(out, adapter.published(), {"training": settings, "backbone": backbone.digest})
    DistributedGroup.current().wait()
    return final_losses


def _fixed_on_resume(schedule: Schedule) -> dict[str, str]:
    """Schedule settings that a resumed training must keep; the number of steps may change."""
    return {
        "batch": str(schedule.batch),
        "seed": str(schedule.seed),
        "learning rate": str(schedule.learning_rate),
    }


def _metadata(training: IPAdapterTraining, encoder: ImageEncoder, backbone: Backbone) -> dict[str, str]:
    """Metadata of the weights file, except the number of steps."""
    settings = {k: str(v) for k, v in asdict(training).items() if k not in ("validate_every", "start")}
    origin = {} if training.start is None else {"started_from": _origin(read_adapter(training.start))}
    return {
        **settings,
        **origin,
        "data_name": combined_training_data(training.data_name, training.start, "training", "data_name"),
        "encoder": encoder.name,
        "shown": "centre",
        "encoder_digest": encoder.digest,
        "family": backbone.family,
        "backbone": backbone.digest,
    }


def _origin(stored: PublishedAdapter) -> str:
    """File name of the start weights, with their number of steps if the metadata contains it."""
    steps = json.loads(stored.metadata.get("training", "{}")).get("steps")
    return stored.path.name if steps is None else f"{stored.path.name} after {steps} steps"


AnyTrainable = TrainableAdapter | TrainableJointAdapter | TrainableDoubleBlockAdapter


def new_adapter(training: IPAdapterTraining, backbone: Backbone, encoder: ImageEncoder) -> AnyTrainable:
    """Initialise a random projection, with the backbone's keys and values; or load `training.start`."""
    attention = backbone.adapter_attention
    if training.layout not in attention.layouts:
        raise MethodError(
            f"bench train ip-adapter: the layout {training.layout} is not for a backbone of the family "
            f"{backbone.family}; use {' or '.join(sorted(attention.layouts & set(LAYOUTS)))}"
        )
    adapter: AnyTrainable
    match attention:
        case JointAttention():
            adapter = TrainableJointAdapter(
                attention, patch_width=encoder.width, tokens=training.tokens, hidden=training.hidden
            )
        case DoubleBlockAttention():
            adapter = TrainableDoubleBlockAdapter(
                attention, embedding_width=encoder.embedding_width, tokens=training.tokens
            )
        case _:
            adapter = _new_adapter_for_unet(training, backbone.attention, encoder)
    if training.start is not None:
        adapter.load_matching_weights(read_adapter(training.start))
    return adapter


def _new_adapter_for_unet(
    training: IPAdapterTraining, attention: UNetAttention, encoder: ImageEncoder
) -> TrainableAdapter:
    from diffusers.models.embeddings import ImageProjection

    if training.layout == "base":
        projection: nn.Module = ImageProjection(encoder.embedding_width, attention.width, BASE_TOKENS)
        return TrainableAdapter(attention, projection, BASE_TOKENS)
    projection = new_resampler(
        patch_width=encoder.width, width=attention.width, tokens=training.tokens, hidden=training.hidden
    )
    return TrainableAdapter(attention, projection, training.tokens)


def _minimise(
    adapter: AnyTrainable,
    features: TrainingFeatures,
    training: IPAdapterTraining,
    backbone: Backbone,
    schedule: Schedule,
    checkpoint: TrainingCheckpoint,
    evaluation: PeriodicEvaluation | None,
    progress: Progress,
) -> None:
    device, trained = backbone.device, nn.ModuleList([adapter])
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        summary = _summary(features, training, backbone.adapter_attention.width)
    if summary is not None:
        trained.append(summary.to(device))

    def loss(step: int, generator: torch.Generator, rows: slice) -> Tensor:
        batch = draw_batch(features, training, schedule.batch, generator, device, rows)
        t = backbone.noise.sample_timesteps(
            schedule.batch, generator, timestep_power=training.timestep_power
        )[rows].to(device)
        eps = torch.randn(schedule.batch, *batch[0].shape[1:], generator=generator)[rows].to(device)
        denoising = ip_adapter_loss(batch, backbone, t=t, eps=eps)
        if summary is None:
            return denoising
        auxiliary: Tensor = summary(adapter.image_tokens(batch.images, t), batch.images)
        return denoising + training.summary_loss_weight * auxiliary

    with gradient_checkpointing(backbone.network, enabled=schedule.gradient_checkpointing):
        optimize(
            trained,
            loss,
            schedule,
            checkpoint=checkpoint,
            progress=progress,
            device=device,
            evaluation=evaluation,
        )


def _summary(features: TrainingFeatures, training: IPAdapterTraining, width: int) -> Summary | None:
    if not training.summary_loss_weight:
        return None
    sample = features.patches[: len(features.patches) : max(1, len(features.patches) // SUMMARY_SAMPLE), 0]
    return Summary(sample, tokens=training.tokens, width=width)


def save_adapter(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a published checkpoint in half precision; the file appears whole."""
    halves = {name: value.detach().cpu().half().contiguous() for name, value in state.items()}
    with atomic_file(path) as temporary:
        save_file(halves, temporary, metadata=metadata)
        sort_header(temporary)
