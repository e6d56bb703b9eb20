"""What an IP-Adapter is trained for (Ye et al. 2023, eq. 6), and how its batches are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.backbone.text_encoding import TextFeatures
from methods.compute.precision import autocast
from methods.compute.seeding import generator_of
from methods.encoders.clip_vision import EMBEDDED_CLIP
from methods.encoders.resampler import HEAD
from methods.errors import MethodError
from methods.pretraining.features import TrainingFeatures

WHOLE = slice(None)
FARTHEST = 4.0
"""Deviations."""


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
    timestep_power: float = 1.0
    """Noise steps t are drawn as t^(lean - 1); 1 is uniform, as published."""
    summary_loss_weight: float = 0.0
    """Weight of a second loss (`Summary`), for a Resampler of the Plus layout that is slow to find who is
    shown; 0 as published."""
    drop_image: float = 0.05
    drop_text: float = 0.05
    drop_both: float = 0.05
    """Shares of rows without a picture, without a caption, without both, as published."""
    data_name: str = ""
    """Name of the training set, for the leak ledger."""
    start: Path | None = None
    """A published file of the same layout to go on from."""
    validate_every: int = 250
    """Steps between two measurements on unseen people, where there are any."""

    def __post_init__(self) -> None:
        for name, known in (("layout", ("base", "plus")), ("condition", ("self", "other"))):
            if getattr(self, name) not in known:
                raise MethodError(
                    f"ip-adapter: {name} is {getattr(self, name)!r}; known are {', '.join(known)}"
                )
        if self.hidden % HEAD or self.tokens < 1 or not self.timestep_power > 0:
            raise MethodError(
                f"ip-adapter: tokens {self.tokens}, hidden {self.hidden}, timestep_power "
                f"{self.timestep_power}; expected at least 1 token, hidden a multiple of {HEAD}, and "
                "timestep_power above 0"
            )
        if self.summary_loss_weight < 0 or (self.summary_loss_weight and self.layout == "base"):
            raise MethodError(
                f"ip-adapter: summary_loss_weight {self.summary_loss_weight} with layout {self.layout}; "
                "expected at least 0, and 0 for base, whose tokens are the summary"
            )


IPBatch = tuple[Tensor, TextFeatures, Tensor]
"""Latents (B, C, h, w), captions, the condition's patch tokens (B, L', E) or embedding (B, P)."""


def draw_batch(
    features: TrainingFeatures,
    training: IPAdapterTraining,
    size: int,
    generator: torch.Generator,
    device: torch.device,
    shown: slice = WHOLE,
) -> IPBatch:
    """Persons uniform, then a photograph of each, and the one that conditions.

    All `size` rows are drawn, and only those `shown` are read: so neither processes nor accumulation change
    what is drawn.
    """
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
    text_rows = torch.where(chance < text, 0, sentences)[shown]
    rows, side, dropped = rows[shown], side[shown], dropped[shown]
    seen = features.patches if features.embeds is None else features.embeds
    images = seen[rows[:, -1], side[:, -1]].to(device).float()
    # As published: no picture is an embedding of zeros, or what the encoder says of black pixels.
    nothing = features.nothing.to(device) if features.embeds is None else torch.zeros_like(images[0])
    gone = dropped.to(device).view(-1, *(1,) * (images.dim() - 1))
    return (
        features.latents[rows[:, 0], side[:, 0]].to(device).float(),
        features.text_of(text_rows, device),
        torch.where(gone, nothing, images),
    )


class Summary(nn.Module):
    """Reads off a photograph's tokens what the encoder sums up of it; thrown away after training.

    A Resampler's queries begin near the average of the patches, and on a small encoder the denoising loss
    alone is slow to lead them to the class token, where most of what is known of a person stands.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, patches: Tensor, *, tokens: int, width: int) -> None:
        """`patches` are those of some photographs, (N, L, E): what is said of them counts in deviations."""
        super().__init__()
        said = summed_up(patches.float())
        self.register_buffer("mean", said.mean(0), persistent=False)
        self.register_buffer("deviation", said.std(0) + 1e-6, persistent=False)
        self.read = nn.Linear(tokens * width, said.shape[1])

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Mean squared error for (B, T, D) tokens of (B, L, E) patches; about 1 where nothing is told."""
        # No picture at all lies far from every picture.
        wanted = ((summed_up(patches) - self.mean) / self.deviation).clamp(-FARTHEST, FARTHEST)
        error: Tensor = (self.read(tokens.flatten(1)).float() - wanted).square().mean()
        return error


def summed_up(patches: Tensor) -> Tensor:
    """The class token, which is the first, and the mean of the others: (N, L, E) -> (N, 2 E)."""
    return torch.cat([patches[:, 0], patches[:, 1:].mean(1)], 1)


def ip_adapter_loss(batch: IPBatch, backbone: Backbone, *, t: Tensor, eps: Tensor) -> Tensor:
    """|| eps - eps_theta(x_t, c_text, c_image, t) ||^2, or the velocity's, mean over the batch."""
    latents, text, images = batch
    said = backbone.conditioning(text)
    said["added_cond_kwargs"] = {**said.get("added_cond_kwargs", {}), "image_embeds": [images[:, None]]}
    predicted = backbone.unet(backbone.noise.add(latents, eps, t), t, **said, return_dict=False)[0]
    residual: Tensor = predicted.float() - backbone.noise.target(latents, eps, t)
    return residual.square().mean()


@torch.no_grad()
def validation_losses(
    weigh: Callable[[float], None],
    features: TrainingFeatures,
    training: IPAdapterTraining,
    backbone: Backbone,
    *,
    batches: int,
    size: int = 64,
) -> dict[str, float]:
    """Mean loss over fixed draws with t uniform: `loss`, and `without`, the backbone's own.

    The adapter must be on the U-Net; `weigh` sets the weight of its image tokens. With condition `self` it
    is told the very photograph it restores, so its loss does not say how well it draws somebody anew.
    """
    shown = replace(training, drop_image=0.0, drop_text=0.0, drop_both=0.0)
    sums = {"loss": 0.0, "without": 0.0}
    try:
        for index in range(batches):
            generator = generator_of(index)
            batch = draw_batch(features, shown, size, generator, backbone.device)
            t = backbone.noise.sample_timesteps(size, generator).to(backbone.device)
            eps = torch.randn(batch[0].shape, generator=generator).to(backbone.device)
            for name, scale in (("loss", 1.0), ("without", 0.0)):
                weigh(scale)
                with autocast(backbone.device):
                    value = ip_adapter_loss(batch, backbone, t=t, eps=eps)
                sums[name] += value.item() / batches
    finally:
        weigh(1.0)
    return sums
