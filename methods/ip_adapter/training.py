"""Trains an IP-Adapter, base or Plus (Ye et al. 2023), and writes the published layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.compute.atomic_io import atomic_file
from methods.encoders.clip_vision import ImageEncoder, open_encoder
from methods.encoders.resampler import new_resampler, published, published_base
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import PublishedAdapter, read_adapter
from methods.ip_adapter.objective import (
    IPAdapterTraining,
    Summary,
    draw_batch,
    ip_adapter_loss,
    validation_losses,
)
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.features import TrainingFeatures, training_features
from methods.pretraining.loop import PeriodicEvaluation, Progress, Schedule, optimize
from methods.trained_on import data_learnt

__all__ = [
    "SCHEDULE",
    "IPAdapterTraining",
    "TrainableAdapter",
    "draw_batch",
    "ip_adapter_loss",
    "save_adapter",
    "train_ip_adapter",
]

from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection

BASE_TOKENS = 4
MEASURED = 2_000
"""Photographs that show how far summaries differ."""
SCHEDULE = Schedule(steps=1_000, batch=48, learning_rate=1e-3, warm_up=100, decay_from=0.4, ema=0.995)


class TrainableAdapter(nn.Module):
    """The image projection, and keys and values for every cross-attention layer."""

    def __init__(self, unet: Any, projection: nn.Module, tokens: int) -> None:
        super().__init__()
        self.projection = projection
        self.names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        self.layers = nn.ModuleList()
        for name in self.names:
            attention = unet.get_submodule(name.removesuffix(".processor"))
            key, value = attention.to_k, attention.to_v
            layer = IPAdapterAttnProcessor2_0(key.out_features, key.in_features, num_tokens=(tokens,))
            with torch.no_grad():
                layer.to_k_ip[0].weight.copy_(key.weight)
                layer.to_v_ip[0].weight.copy_(value.weight)
            self.layers.append(layer)

    def place(self, unet: Any) -> None:
        """Put the parts where diffusers' loader puts them."""
        placed = dict(zip(self.names, self.layers, strict=True))
        unet.set_attn_processor({name: placed.get(name, own) for name, own in unet.attn_processors.items()})
        unet.encoder_hid_proj = MultiIPAdapterImageProjection([self.projection])
        unet.config.encoder_hid_dim_type = "ip_image_proj"

    def weigh(self, scale: float) -> None:
        """Set the weight of the image tokens; the layers begin at 1."""
        for layer in self.layers:
            layer.scale = [scale]  # type: ignore[assignment]  # torch takes every attribute for a module

    def published(self) -> dict[str, Tensor]:
        """The published safetensors' names: `image_proj.*`, `ip_adapter.{1,3,5,..}.to_k_ip.weight`."""
        state = {f"image_proj.{k}": v for k, v in self._renamed(self.projection.state_dict()).items()}
        for index, layer in enumerate(self.layers):
            for name, value in layer.state_dict().items():
                # `to_k_ip.0.weight`: diffusers counts adapters, the published files hold one.
                state[f"ip_adapter.{2 * index + 1}.{name.replace('.0.', '.')}"] = value
        return state

    @torch.no_grad()
    def load_matching_weights(self, stored: PublishedAdapter) -> None:
        """Go on from a published file; raises MethodError where it is of another layout or other sizes."""
        # Where each number of the file belongs, found by renaming the numbers of our own entries.
        own, begin, places = self.projection.state_dict(), 0, {}
        for name, value in own.items():
            places[name] = torch.arange(begin, begin + value.numel()).view(value.shape)
            begin += value.numel()
        flat, theirs = torch.empty(begin), self._renamed(places)
        _same_shapes(stored.path, theirs, stored.image_proj)
        for name, place in theirs.items():
            flat[place] = stored.image_proj[name].float()
        self.projection.load_state_dict({name: flat[place] for name, place in places.items()})
        layers = ((name.partition("."), value) for name, value in self.published().items())
        weights = {name: value for (part, _, name), value in layers if part == "ip_adapter"}
        _same_shapes(stored.path, weights, stored.ip_adapter)
        for name, weight in weights.items():
            weight.copy_(stored.ip_adapter[name])

    def _renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        base = isinstance(self.projection, ImageProjection)
        return published_base(state) if base else published(state)


def _same_shapes(path: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (wanted, found)]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        ours, theirs = (shape.get(name, "none") for shape in shapes)
        if ours != theirs:
            raise MethodError(
                f"{path}: {name} is {theirs}, this training's is {ours}; start from a file of the same "
                "layout and tokens, made for an encoder and a backbone of these sizes"
            )


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
    """Write trained weights to `out`; returns the losses on `unseen`, people that are not in `data`.

    `work` keeps the features of both, and the checkpoint to resume from with the loss curve beside it.
    Runs on the backbone's device, on every process that was launched, and leaves the backbone as it was.
    """
    encoder = open_encoder(training.encoder, backbone.device)

    def read(photos: TrainingSet) -> TrainingFeatures:
        base = training.layout == "base"
        return training_features(
            photos, work, backbone=backbone, encoder=encoder, embeddings=base, progress=progress
        )

    features, judged = read(data), None if unseen is None else read(unseen)
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        # The backbone may be in half precision; what learns is not.
        adapter = new_adapter(training, backbone, encoder).float().to(backbone.device)
    told = _told(training, encoder, backbone)
    checkpoint = TrainingCheckpoint(work / f"{out.stem}.pt", {**told, **_pace(schedule)})

    def losses(batches: int) -> Mapping[str, float]:
        assert judged is not None
        return validation_losses(adapter.weigh, judged, training, backbone, batches=batches)

    def measured() -> Mapping[str, float]:
        return {f"{name}, unseen people": value for name, value in losses(2).items()}

    watch = None if judged is None else PeriodicEvaluation(training.validate_every, measured)
    with backbone.clean():
        adapter.place(backbone.unet)
        try:
            _minimise(adapter, features, training, backbone, schedule, checkpoint, watch, progress)
            last = {} if judged is None else losses(8)
        finally:
            backbone.state.restore(backbone.pipe)
    if DistributedGroup.here().leads:
        about = json.dumps({**told, "steps": str(schedule.steps)}, sort_keys=True)
        save_adapter(out, adapter.published(), {"training": about, "backbone": backbone.digest})
    DistributedGroup.here().wait()
    return last


def _pace(schedule: Schedule) -> dict[str, str]:
    """What must not change when a training is resumed; its length may."""
    return {
        "batch": str(schedule.batch),
        "seed": str(schedule.seed),
        "learning rate": str(schedule.learning_rate),
    }


def _told(training: IPAdapterTraining, encoder: ImageEncoder, backbone: Backbone) -> dict[str, str]:
    """What the weights' file will say of itself, but for the number of steps."""
    own = {k: str(v) for k, v in asdict(training).items() if k not in ("validate_every", "start")}
    begun = {} if training.start is None else {"started_from": _origin(read_adapter(training.start))}
    return {
        **own,
        **begun,
        "data_name": data_learnt(training.data_name, training.start, "training", "data_name"),
        "encoder": encoder.name,
        "encoder_digest": encoder.digest,
        "family": backbone.family,
        "backbone": backbone.digest,
    }


def _origin(stored: PublishedAdapter) -> str:
    """How long the adapter that a training goes on from has learnt, where it says so."""
    steps = json.loads(stored.metadata.get("training", "{}")).get("steps")
    return stored.path.name if steps is None else f"{stored.path.name} after {steps} steps"


def new_adapter(training: IPAdapterTraining, backbone: Backbone, encoder: ImageEncoder) -> TrainableAdapter:
    """Where training begins: the projection random, keys and values the text's; or as `start` holds them."""
    width = backbone.cross_attention_dim
    if training.layout == "base":
        projection: nn.Module = ImageProjection(encoder.embedding_width, width, BASE_TOKENS)
        adapter = TrainableAdapter(backbone.unet, projection, BASE_TOKENS)
    else:
        projection = new_resampler(
            patch_width=encoder.width, width=width, tokens=training.tokens, hidden=training.hidden
        )
        adapter = TrainableAdapter(backbone.unet, projection, training.tokens)
    if training.start is not None:
        adapter.load_matching_weights(read_adapter(training.start))
    return adapter


def _minimise(
    adapter: TrainableAdapter,
    features: TrainingFeatures,
    training: IPAdapterTraining,
    backbone: Backbone,
    schedule: Schedule,
    checkpoint: TrainingCheckpoint,
    watch: PeriodicEvaluation | None,
    progress: Progress,
) -> None:
    device, learning = backbone.device, nn.ModuleList([adapter])
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        summary = _summary(features, training, backbone.cross_attention_dim)
    if summary is not None:
        learning.append(summary.to(device))

    def loss(step: int, generator: torch.Generator, rows: slice) -> Tensor:
        batch = draw_batch(features, training, schedule.batch, generator, device, rows)
        t = backbone.noise.sample_timesteps(
            schedule.batch, generator, timestep_power=training.timestep_power
        )[rows].to(device)
        eps = torch.randn(schedule.batch, *batch[0].shape[1:], generator=generator)[rows].to(device)
        restored = ip_adapter_loss(batch, backbone, t=t, eps=eps)
        if summary is None:
            return restored
        told: Tensor = summary(adapter.projection(batch[2]), batch[2])
        return restored + training.summary_loss_weight * told

    optimize(
        learning, loss, schedule, checkpoint=checkpoint, progress=progress, device=device, evaluation=watch
    )


def _summary(features: TrainingFeatures, training: IPAdapterTraining, width: int) -> Summary | None:
    if not training.summary_loss_weight:
        return None
    some = features.patches[: len(features.patches) : max(1, len(features.patches) // MEASURED), 0]
    return Summary(some, tokens=training.tokens, width=width)


def save_adapter(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a published checkpoint in half precision; the file appears whole."""
    halves = {name: value.detach().cpu().half().contiguous() for name, value in state.items()}
    with atomic_file(path) as temporary:
        save_file(halves, temporary, metadata=metadata)
