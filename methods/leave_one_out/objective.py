"""The leave-one-out loss: restore a photograph from its caption and the other photographs of the person.

    L = E || eps - eps_theta(X_t, c_t, G(c_i without c_j), t) ||^2

j is uniform over the person's photographs, t uniform on the schedule, c_t the text features of the dropped
caption, c_i the features of the remaining photographs and captions. For a backbone that predicts v the
residual is the velocity's, which for a given X_t is that of eps divided by alpha_t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.noise_schedule import NoiseSchedule
from methods.backbone.text_encoding import TextFeatures
from methods.errors import MethodError
from methods.leave_one_out.network import LeaveOneOutNetwork
from methods.pretraining.features import TrainingFeatures

Noising = Literal["held-out", "aggregate"]
Captions = Literal["given", "blank"]

WHOLE = slice(None)
"""All rows of a batch."""


@dataclass(frozen=True)
class Objective:
    """The loss's settings."""

    noising: Noising = "held-out"
    """What X_t is a noised version of: the dropped photograph, or G of the other ones' latents."""
    leave_out: bool = True
    """False is the control: x_j stays in the set, and may be all of it, as in IP-Adapter's training."""
    captions: Captions = "given"
    """`blank` takes every caption for the empty sentence: the dropped one and those that G reads."""
    smallest_set: int = 1
    largest_set: int = 6
    """Sets of so many photographs, uniformly, so that one network serves them all. Where a person has fewer,
    all of theirs."""
    timestep_power: float = 1.0
    """Density of the noise step t: as t^(lean - 1). 1 is uniform; more looks where photographs help."""
    drop_image: float = 0.05
    drop_text: float = 0.05
    drop_both: float = 0.05
    """Shares of rows without photographs, without a caption, without both: for classifier-free guidance."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("noising", self.noising, ("held-out", "aggregate")),
            ("captions", self.captions, ("given", "blank")),
        ):
            if value not in known:
                raise MethodError(f"leave-one-out: unknown {name} {value!r}; known are {', '.join(known)}")
        if not 1 <= self.smallest_set <= self.largest_set:
            raise MethodError(
                f"leave-one-out: sets of {self.smallest_set} to {self.largest_set} photographs; "
                "wanted 1 <= smallest_set <= largest_set"
            )
        shares = (self.drop_image, self.drop_text, self.drop_both)
        if min(shares) < 0 or sum(shares) > 1:
            raise MethodError(f"leave-one-out: shares of dropped rows {shares}; wanted a sum of at most 1")
        if not self.timestep_power > 0:
            raise MethodError(f"leave-one-out: lean is {self.timestep_power}; wanted a number above 0")


@dataclass(frozen=True)
class Batch:
    """B photographs to restore, each with n of its person's as the set that conditions."""

    latents: Tensor
    """(B, C, h, w): x_j."""
    text: TextFeatures
    """c_t: t_j's tokens (B, L, D) and its one feature (B, P), which is also the caption that G is asked for;
    those of the empty sentence where the caption is dropped."""
    patches: Tensor
    """(B, n, L, E): what the image encoder says of the set."""
    captions: Tensor
    """(B, n, P): the set's captions."""
    others: Tensor
    """(B, n, C, h, w): the set's latents."""
    mask: Tensor
    """(B, n): which photographs of the set there are."""
    dropped: Tensor
    """(B,): rows that see no photographs."""
    t: Tensor
    """(B,): the noise steps."""
    eps: Tensor
    """(B, C, h, w): the noise."""


def draw_batch(
    features: TrainingFeatures,
    objective: Objective,
    noise: NoiseSchedule,
    size: int,
    generator: torch.Generator,
    device: torch.device,
    rows: slice = WHOLE,
) -> Batch:
    """Persons uniform, j uniform over the person's photographs, the set a uniform subset of the rest.

    All `size` rows are drawn, and only `rows` of them read: so neither processes nor accumulation change
    what is drawn. The sets of a batch are of one size, drawn uniformly from `smallest_set` to the largest
    that some person allows; who has fewer photographs has masked places.
    """
    left_out = int(objective.leave_out)
    most = min(objective.largest_set, int(features.count.max()) - left_out)
    if most < objective.smallest_set:
        needed = {1: "one photograph", 2: "two photographs"}.get(
            objective.smallest_set + left_out, f"{objective.smallest_set + left_out} photographs"
        )
        raise MethodError(f"training set: no person with {needed}; leave-one-out needs them")
    n = int(torch.randint(objective.smallest_set, most + 1, (), generator=generator))
    people = features.people(photos=objective.smallest_set + left_out)
    chosen = people[torch.randint(len(people), (size,), generator=generator)]
    photos = features.photos_of(chosen, n + left_out, generator).to(features.captions.device)
    there = features.present(chosen, n + left_out)
    mirrored = (torch.rand(photos.shape, generator=generator) < 0.5).to(photos.device)
    sentences = features.caption_of(photos, mirrored, generator)
    if objective.captions == "blank":
        sentences = torch.zeros_like(sentences)
    chance = torch.rand(size, generator=generator).to(photos.device)
    both, text = objective.drop_both, objective.drop_both + objective.drop_text
    target = torch.where(chance < text, 0, sentences[:, 0])
    dropped = (chance < both) | ((chance >= text) & (chance < text + objective.drop_image))
    t = noise.sample_timesteps(size, generator, timestep_power=objective.timestep_power)
    eps = torch.randn(size, *features.latents.shape[2:], generator=generator)
    photos, side, sentences = photos[rows], mirrored[rows].long(), sentences[rows]
    latents = features.latents[photos, side].to(device).float()
    return Batch(
        latents=latents[:, 0],
        text=features.text_of(target[rows], device),
        patches=features.patches[photos[:, left_out:], side[:, left_out:]].to(device).float(),
        captions=features.pooled[sentences[:, left_out:]].to(device).float(),
        others=latents[:, left_out:],
        mask=there[rows, left_out:].to(device),
        dropped=dropped[rows].to(device),
        t=t[rows].to(device),
        eps=eps[rows].to(device),
    )


def leave_one_out_loss(
    network: LeaveOneOutNetwork, batch: Batch, backbone: Backbone, noising: Noising
) -> Tensor:
    """The loss of each row, (B,), averaged over its latent. The adapter must be on the U-Net."""
    noise, t, eps = backbone.noise, batch.t, batch.eps
    tokens = network.tokens_of(batch.patches)
    gathered = network.gather(tokens, batch.captions, batch.text.pooled, batch.mask)
    network.adapter.slot.gathered = network.without(gathered, batch.dropped)
    clean = noised_from(network, batch, noising)
    predicted = backbone.unet(
        noise.add(clean, eps, t), t, **backbone.conditioning(batch.text), return_dict=False
    )[0]
    residual: Tensor = predicted.float() - noise.target(clean, eps, t)
    return residual.square().mean(dim=(1, 2, 3))


def noised_from(network: LeaveOneOutNetwork, batch: Batch, noising: Noising) -> Tensor:
    """What is noised: x_j, or to the letter of the source's formula G(X0 without x_j), in latent space."""
    if noising == "held-out":
        return batch.latents
    # The aggregate is data here: a loss that could change its own target would collapse it.
    with torch.no_grad():
        blended = network.blend(batch.others, batch.captions, batch.text.pooled, batch.mask)
    return blended.float()
