"""The training objective of an IP-Adapter (Ye et al. 2023, eq. 6) and its batch sampling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import TextFeatures
from methods.compute.precision import autocast
from methods.compute.seeding import seeded_generator
from methods.encoders.clip_vision import EMBEDDED_CLIP
from methods.encoders.resampler import HEAD
from methods.errors import MethodError
from methods.pretraining.features import TrainingFeatures
from methods.pretraining.loop import row_slices

WHOLE = slice(None)
"""All rows of a batch."""
LAYOUTS = ("base", "plus", "time-resampler", "double-blocks")
RESAMPLERS = ("plus", "time-resampler")
"""Layouts with a Resampler of the patch tokens."""
SET_LAYOUTS = ("time-resampler", "double-blocks")
"""Layouts that are trained with several photographs, too."""
LARGEST_SET = 6
"""Largest number of photographs in the condition `others`, as of leave-one-out's aggregators."""
MAX_DEVIATION = 4.0
"""Limit of a target of the summary loss, in standard deviations."""


@dataclass(frozen=True)
class IPAdapterTraining:
    """Settings of the adapter and its objective; `Schedule` contains steps and learning rate."""

    layout: Literal["base", "plus", "time-resampler", "double-blocks"] = "plus"
    """`base`: one linear layer from the embedding to 4 tokens; `plus`: a Resampler of the patch tokens;
    `time-resampler`: for Stable Diffusion 3, a Resampler that also reads the timestep; `double-blocks`: for
    FLUX.1, base's linear layer."""
    condition: Literal["self", "other", "others"] = "self"
    """The conditioning image: the target itself, as published, or another photograph of the person. `others`,
    for `time-resampler` and `double-blocks`: leave-one-out, one to `LARGEST_SET` other photographs, whose
    tokens are one sequence."""
    tokens: int = 8
    """Tokens of a Resampler. diffusers' loader assumes 4 in the base layout, and in `double-blocks` 4, or 16
    if they are 4096 wide."""
    hidden: int = 128
    encoder: Path = EMBEDDED_CLIP
    timestep_power: float = 1.0
    """Timesteps are sampled with density t^(timestep_power - 1); 1 is uniform, as published."""
    summary_loss_weight: float = 0.0
    """Weight of an auxiliary loss (`Summary`) for a Resampler, which learns identity slowly; 0 as
    published."""
    drop_image: float = 0.05
    drop_text: float = 0.05
    drop_both: float = 0.05
    """Shares of rows without an image, without a caption and without both; the defaults are as published."""
    data_name: str = ""
    """Name of the training set, recorded in the file to detect training overlap."""
    start: Path | None = None
    """A published file of the same layout to continue from."""
    validate_every: int = 250
    """Steps between two validation losses, if there is validation data."""

    def __post_init__(self) -> None:
        for name, known in (
            ("layout", LAYOUTS),
            ("condition", ("self", "other", "others")),
        ):
            if getattr(self, name) not in known:
                raise MethodError(
                    f"ip-adapter: {name} is {getattr(self, name)!r}; expected one of {', '.join(known)}"
                )
        if self.condition == "others" and self.layout not in SET_LAYOUTS:
            raise MethodError(
                f"ip-adapter: condition others with layout {self.layout}, which is trained with one "
                f"photograph; expected layout {' or '.join(SET_LAYOUTS)}"
            )
        if self.hidden % HEAD or self.tokens < 1 or not self.timestep_power > 0:
            raise MethodError(
                f"ip-adapter: tokens {self.tokens}, hidden {self.hidden}, timestep_power "
                f"{self.timestep_power}; expected at least 1 token, hidden a multiple of {HEAD}, and "
                "timestep_power above 0"
            )
        if self.summary_loss_weight < 0 or (self.summary_loss_weight and self.layout not in RESAMPLERS):
            raise MethodError(
                f"ip-adapter: summary_loss_weight {self.summary_loss_weight} with layout {self.layout}; "
                f"expected at least 0, and 0 for other layouts than {' and '.join(RESAMPLERS)}"
            )

    @property
    def reads_embeddings(self) -> bool:
        """Whether the projection reads the encoder's projected embedding in place of its patch tokens."""
        return self.layout in ("base", "double-blocks")


class IPBatch(NamedTuple):
    """B target photographs."""

    latents: Tensor
    """(B, C, h, w)."""
    text: TextFeatures
    images: Tensor
    """The conditioning patch tokens (B, L', E) or embeddings, (B, P) or of k photographs (B, k, P)."""
    time_ids: Tensor | None = None
    """(B, 6): size and crop of the targets for SDXL."""


def draw_batch(
    features: TrainingFeatures,
    training: IPAdapterTraining,
    size: int,
    generator: torch.Generator,
    device: torch.device,
    rows: slice = WHOLE,
) -> IPBatch:
    """Sample persons uniformly, then a target photograph of each and its conditioning photograph.

    All `size` rows are sampled but only `rows` are loaded, so the sample does not depend on the number of
    processes or accumulation steps. Raises MethodError if no person has enough photographs.
    """
    count = _photographs(features, training, generator)
    people = features.people(photos=count)
    if len(people) == 0:
        raise MethodError(
            f"training set: no person with two photographs; condition {training.condition!r} needs them"
        )
    chosen = people[torch.randint(len(people), (size,), generator=generator)]
    photos = features.photos_of(chosen, count, generator).to(features.captions.device)
    mirrored = (torch.rand(photos.shape, generator=generator) < 0.5).long().to(photos.device)
    sentences = features.caption_of(photos[:, 0], mirrored[:, 0], generator)
    chance = torch.rand(size, generator=generator).to(photos.device)
    both, text = training.drop_both, training.drop_both + training.drop_text
    dropped = (chance < both) | ((chance >= text) & (chance < text + training.drop_image))
    text_rows = torch.where(chance < text, 0, sentences)[rows]
    photos, mirrored, dropped = photos[rows], mirrored[rows], dropped[rows]
    embedded = features.patches if features.embeds is None else features.embeds
    if training.condition == "others":
        images = embedded[photos[:, 1:], mirrored[:, 1:]].to(device).float()
        # Patch tokens of all photographs are one sequence; embeddings stay apart.
        images = images if training.reads_embeddings else images.flatten(1, 2)
    else:
        images = embedded[photos[:, -1], mirrored[:, -1]].to(device).float()
    # As published, the unconditional input is zeros, or for Plus the patch tokens of an all-zero image.
    is_plus = training.layout == "plus"
    unconditional = features.nothing.to(device) if is_plus else torch.zeros_like(images[0])
    without_image = dropped.to(device).view(-1, *(1,) * (images.dim() - 1))
    return IPBatch(
        features.latents[photos[:, 0], mirrored[:, 0]].to(device).float(),
        features.text_of(text_rows, device),
        torch.where(without_image, unconditional, images),
        None if features.time_ids is None else features.time_ids[photos[:, 0].cpu()],
    )


def _photographs(features: TrainingFeatures, training: IPAdapterTraining, generator: torch.Generator) -> int:
    """Number of photographs of each person in a batch: the target, and others for the condition."""
    if training.condition != "others":
        return 2 if training.condition == "other" else 1
    largest = max(1, min(LARGEST_SET, int(features.count.max()) - 1))
    return 1 + int(torch.randint(1, largest + 1, (), generator=generator))


class Summary(nn.Module):
    """Auxiliary head that predicts the encoder's summary of a photograph from its tokens; not saved.

    A Resampler's queries start near the average of the patches. With a small encoder the denoising loss
    alone is slow to direct them to the class token, which contains most of the identity.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, patches: Tensor, *, tokens: int, width: int) -> None:
        """`patches` (N, L, E) of sample photographs determine the mean and deviation of the targets."""
        super().__init__()
        self.length = patches.shape[1]
        summaries = summarise(patches.float())
        self.register_buffer("mean", summaries.mean(0), persistent=False)
        self.register_buffer("deviation", summaries.std(0) + 1e-6, persistent=False)
        self.readout = nn.Linear(tokens * width, summaries.shape[1])

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Mean squared error for (B, T, D) tokens of one photograph's patches, (B, L, E), or of k in one
        sequence, (B, k L, E), whose summaries are averaged; about 1 for uninformative tokens."""
        summaries = summarise(patches.unflatten(1, (-1, self.length)).flatten(0, 1))
        summaries = summaries.unflatten(0, (len(patches), -1)).mean(1)
        # Clamped because the summary of the all-zero image is far from that of every photograph.
        target = ((summaries - self.mean) / self.deviation).clamp(-MAX_DEVIATION, MAX_DEVIATION)
        error: Tensor = (self.readout(tokens.flatten(1)).float() - target).square().mean()
        return error


def summarise(patches: Tensor) -> Tensor:
    """Concatenate the class token (the first) and the mean of the others: (N, L, E) -> (N, 2 E)."""
    return torch.cat([patches[:, 0], patches[:, 1:].mean(1)], 1)


def ip_adapter_loss(batch: IPBatch, backbone: Backbone, *, t: Tensor, eps: Tensor) -> Tensor:
    """|| eps - eps_theta(x_t, c_text, c_image, t) ||^2, or its v-prediction form; mean over the batch.

    A network that reads the guidance scale reads 1, as in diffusers' scripts for FLUX.1.
    """
    latents, images = batch.latents, batch.images
    text = backbone.conditioning(batch.text, batch.time_ids)
    conditioning = backbone.adapter_attention.with_images(text, images)
    noised = backbone.noise.add(latents, eps, t)
    residual = backbone.predict(noised, t, conditioning) - backbone.noise.target(latents, eps, t)
    return residual.square().mean()


@torch.no_grad()
def validation_losses(
    set_scale: Callable[[float], None],
    features: TrainingFeatures,
    training: IPAdapterTraining,
    backbone: Backbone,
    *,
    batches: int,
    size: int = 64,
    rows_at_once: int | None = None,
) -> dict[str, float]:
    """Mean loss over fixed samples with uniform t: `loss`, and `without`, the loss of the backbone alone.

    A batch is computed whole, or in pieces of `rows_at_once` with the same samples. The adapter must be
    attached; `set_scale` sets the weight of its image tokens. With condition `self` the adapter reads the
    target itself, so the loss does not measure generalisation to new images.
    """
    everything = replace(training, drop_image=0.0, drop_text=0.0, drop_both=0.0)
    sums = {"loss": 0.0, "without": 0.0}
    try:
        for index, rows in product(range(batches), row_slices(size, rows_at_once)):
            generator = seeded_generator(index)
            batch = draw_batch(features, everything, size, generator, backbone.device, rows)
            t = backbone.noise.sample_timesteps(size, generator)[rows].to(backbone.device)
            eps = torch.randn(size, *batch[0].shape[1:], generator=generator)[rows].to(backbone.device)
            for name, scale in (("loss", 1.0), ("without", 0.0)):
                set_scale(scale)
                with autocast(backbone.device):
                    value = ip_adapter_loss(batch, backbone, t=t, eps=eps)
                sums[name] += value.item() * (len(t) / size) / batches
    finally:
        set_scale(1.0)
    return sums
