"""Trains an IP-Adapter, base or Plus (Ye et al. 2023), and writes the published layout."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.torchvision_ops import ensure_torchvision_imports
from methods.backbone import Backbone
from methods.image_encoder import EMBEDDED_CLIP, ImageEncoder, open_encoder
from methods.interface import MethodError
from methods.resampler import new_resampler, published, published_base
from methods.training import Progress, Schedule, train
from methods.training_features import TrainingFeatures, training_features
from methods.training_set import TrainingSet

ensure_torchvision_imports()

from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0  # noqa: E402
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection  # noqa: E402

BASE_TOKENS = 4
SCHEDULE = Schedule(steps=1_000, batch=48, learning_rate=1e-3, warm_up=100, decay_from=0.4, ema=0.995)


@dataclass(frozen=True)
class IPAdapterTraining:
    """What is trained, beside how long and how fast."""

    layout: Literal["base", "plus"] = "plus"
    """`base`: the embedding through one linear layer to 4 tokens; `plus`: patches through a Resampler."""
    condition: Literal["self", "other"] = "self"
    """The picture that conditions: the target itself, as published, or another photograph of the person."""
    tokens: int = 8
    """Of the Plus layout; diffusers' loader takes 4 for granted in the base layout."""
    hidden: int = 128
    encoder: Path = EMBEDDED_CLIP
    drop_image: float = 0.05
    drop_text: float = 0.05
    drop_both: float = 0.05
    """Shares of rows without a picture, without a caption, without both, as published."""
    data_name: str = ""


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

    def published(self) -> dict[str, Tensor]:
        """The published safetensors' names: `image_proj.*`, `ip_adapter.{1,3,5,..}.to_k_ip.weight`."""
        own = self.projection.state_dict()
        renamed = published_base(own) if isinstance(self.projection, ImageProjection) else published(own)
        state = {f"image_proj.{key}": value for key, value in renamed.items()}
        for index, layer in enumerate(self.layers):
            for name, value in layer.state_dict().items():
                # `to_k_ip.0.weight`: diffusers counts adapters, the published files hold one.
                state[f"ip_adapter.{2 * index + 1}.{name.replace('.0.', '.')}"] = value
        return state


def train_ip_adapter(
    data: TrainingSet,
    out: Path,
    *,
    training: IPAdapterTraining,
    backbone: Backbone,
    schedule: Schedule,
    work: Path,
    progress: Progress,
) -> None:
    """Write trained weights to `out`; `work` keeps the data's features and the checkpoint to resume from.

    Runs on the backbone's device, and leaves the backbone as it was.
    """
    encoder = open_encoder(training.encoder, backbone.device)
    base = training.layout == "base"
    features = training_features(
        data, work, backbone=backbone, encoder=encoder, embeddings=base, progress=progress
    )
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        adapter = new_adapter(training, backbone, encoder).to(backbone.device)
    with backbone.clean():
        adapter.place(backbone.unet)
        try:
            _minimise(adapter, features, training, backbone, schedule, work / f"{out.stem}.pt", progress)
        finally:
            backbone.state.restore(backbone.pipe)
    metadata = {
        "training": json.dumps(
            {key: str(value) for key, value in asdict(training).items() if key != "encoder"}
            | {"steps": str(schedule.steps), "encoder": encoder.name, "encoder_digest": encoder.digest},
            sort_keys=True,
        ),
        "backbone": backbone.digest,
    }
    save_adapter(out, adapter.published(), metadata)


def new_adapter(training: IPAdapterTraining, backbone: Backbone, encoder: ImageEncoder) -> TrainableAdapter:
    """An untrained adapter: its projection random, its keys and values those of the text."""
    width = backbone.cross_attention_dim
    if training.layout == "base":
        projection: nn.Module = ImageProjection(encoder.embedding_width, width, BASE_TOKENS)
        return TrainableAdapter(backbone.unet, projection, BASE_TOKENS)
    projection = new_resampler(
        patch_width=encoder.width, width=width, tokens=training.tokens, hidden=training.hidden
    )
    return TrainableAdapter(backbone.unet, projection, training.tokens)


def _minimise(
    adapter: TrainableAdapter,
    features: TrainingFeatures,
    training: IPAdapterTraining,
    backbone: Backbone,
    schedule: Schedule,
    checkpoint: Path,
    progress: Progress,
) -> None:
    def loss(step: int, generator: torch.Generator) -> Tensor:
        batch = draw_batch(features, training, schedule.batch, generator, backbone.device)
        t = backbone.noise.draw(schedule.batch, generator).to(backbone.device)
        eps = torch.randn(batch[0].shape, generator=generator).to(backbone.device)
        return ip_adapter_loss(batch, backbone, t=t, eps=eps)

    train(adapter, loss, schedule, checkpoint=checkpoint, progress=progress, device=backbone.device)


IPBatch = tuple[Tensor, Tensor, Tensor]
"""Latents (B, C, h, w), text (B, L, D), the condition's patch tokens (B, L', E) or embedding (B, P)."""


def draw_batch(
    features: TrainingFeatures,
    training: IPAdapterTraining,
    size: int,
    generator: torch.Generator,
    device: torch.device,
) -> IPBatch:
    """Persons uniform, then a photograph of each, and the one that conditions."""
    people = features.people(photos=2 if training.condition == "other" else 1)
    if len(people) == 0:
        raise MethodError("training set: no person with two photographs; condition 'other' needs them")
    chosen = people[torch.randint(len(people), (size,), generator=generator)]
    count = 2 if training.condition == "other" else 1
    rows = features.photos_of(chosen, count, generator).to(features.captions.device)
    side = (torch.rand(rows.shape, generator=generator) < 0.5).long().to(rows.device)
    sentences = features.caption_of(rows[:, 0], side[:, 0], generator)
    chance = torch.rand(size, generator=generator).to(rows.device)
    both, text = training.drop_both, training.drop_both + training.drop_text
    dropped = (chance < both) | ((chance >= text) & (chance < text + training.drop_image))
    seen = features.patches if features.embeds is None else features.embeds
    images = seen[rows[:, -1], side[:, -1]].to(device).float()
    # As published: no picture is an embedding of zeros, or what the encoder says of black pixels.
    nothing = features.nothing.to(device) if features.embeds is None else torch.zeros_like(images[0])
    gone = dropped.to(device).view(-1, *(1,) * (images.dim() - 1))
    return (
        features.latents[rows[:, 0], side[:, 0]].to(device).float(),
        features.sentences[torch.where(chance < text, 0, sentences)].to(device).float(),
        torch.where(gone, nothing, images),
    )


def ip_adapter_loss(batch: IPBatch, backbone: Backbone, *, t: Tensor, eps: Tensor) -> Tensor:
    """|| eps - eps_theta(x_t, c_text, c_image, t) ||^2, or the velocity's, mean over the batch."""
    latents, text, images = batch
    predicted = backbone.unet(
        backbone.noise.add(latents, eps, t),
        t,
        encoder_hidden_states=text,
        added_cond_kwargs={"image_embeds": [images[:, None]]},
        return_dict=False,
    )[0]
    residual: Tensor = predicted.float() - backbone.noise.target(latents, eps, t)
    return residual.square().mean()


def save_adapter(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a published checkpoint in half precision; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    halves = {name: value.detach().cpu().half().contiguous() for name, value in state.items()}
    save_file(halves, beside, metadata=metadata)
    beside.replace(path)
