"""The leave-one-out loss: reconstruct a photograph from its caption and the person's other photographs.

    L = E || eps - eps_theta(X_t, c_t, G(c_i without c_j), t) ||^2

j is uniform over the person's photographs, t uniform on the schedule, c_t the text features of caption j, c_i
the features of the remaining photographs and captions. For a v-prediction backbone the residual is that of v,
which for a given X_t is the residual of eps divided by alpha_t. For rectified flow it is that of the velocity
eps - X, which is the residual of eps divided by 1 - t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import TextFeatures
from methods.backbone.noise_schedule import NoiseSchedule
from methods.errors import MethodError
from methods.leave_one_out.network import LeaveOneOutNetwork
from methods.pretraining.features import TrainingFeatures

Noising = Literal["held-out", "aggregate"]
Captions = Literal["given", "blank"]

WHOLE = slice(None)
"""All rows of a batch."""


@dataclass(frozen=True)
class Objective:
    """Settings of the loss."""

    noising: Noising = "held-out"
    """What is noised to X_t: the left-out photograph, or G of the latents of the others."""
    leave_out: bool = True
    """False is the control: x_j stays in the set, possibly as its only photograph, as for IP-Adapter."""
    captions: Captions = "given"
    """`blank` replaces every caption by the empty sentence: that of x_j and those that G reads."""
    smallest_set: int = 1
    largest_set: int = 6
    """Set sizes are uniform in this range, so that one network serves all of them. A person with fewer
    photographs contributes all of them."""
    timestep_power: float = 1.0
    """Timesteps are sampled with density t^(timestep_power - 1); 1 is uniform. Larger values favour high
    noise, where the photographs help most."""
    drop_image: float = 0.05
    drop_text: float = 0.05
    drop_both: float = 0.05
    """Shares of rows without photographs, without a caption, without both; for classifier-free guidance."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("noising", self.noising, ("held-out", "aggregate")),
            ("captions", self.captions, ("given", "blank")),
        ):
            if value not in known:
                raise MethodError(f"leave-one-out: unknown {name} {value!r}; known: {', '.join(known)}")
        if not 1 <= self.smallest_set <= self.largest_set:
            raise MethodError(
                f"leave-one-out: sets of {self.smallest_set} to {self.largest_set} photographs; "
                "expected 1 <= smallest_set <= largest_set"
            )
        shares = (self.drop_image, self.drop_text, self.drop_both)
        if min(shares) < 0 or sum(shares) > 1:
            raise MethodError(f"leave-one-out: shares of dropped rows {shares}; expected a sum of at most 1")
        if not self.timestep_power > 0:
            raise MethodError(
                f"leave-one-out: timestep_power is {self.timestep_power}; expected a number above 0"
            )


@dataclass(frozen=True)
class Batch:
    """B target photographs, each with a conditioning set of n photographs of the same person."""

    latents: Tensor
    """(B, C, h, w): x_j."""
    text: TextFeatures
    """c_t: tokens (B, L, D) and pooled feature (B, P) of caption j; G reads the latter as its prompt. Rows
    without a caption have those of the empty sentence."""
    patches: Tensor
    """(B, n, L, E): patch tokens of the set."""
    captions: Tensor
    """(B, n, P): caption features of the set."""
    set_latents: Tensor
    """(B, n, C, h, w): latents of the set."""
    mask: Tensor
    """(B, n): False for padding."""
    dropped: Tensor
    """(B,): True for rows without photographs."""
    t: Tensor
    """(B,): the timesteps."""
    eps: Tensor
    """(B, C, h, w): the noise."""
    time_ids: Tensor | None = None
    """(B, 6): size and crop of x_j for SDXL."""


def draw_batch(
    features: TrainingFeatures,
    objective: Objective,
    noise: NoiseSchedule,
    size: int,
    generator: torch.Generator,
    device: torch.device,
    rows: slice = WHOLE,
) -> Batch:
    """Sample persons uniformly, j uniformly from a person's photographs, the set uniformly from the rest.

    All `size` rows are sampled but only `rows` are loaded, so the sample does not depend on the number of
    processes or accumulation steps. All sets of a batch have the same size, uniform from `smallest_set`
    to the largest that the data allow; sets of persons with fewer photographs are masked.
    """
    left_out = int(objective.leave_out)
    largest = _largest_set(features, objective)
    n = int(torch.randint(objective.smallest_set, largest + 1, (), generator=generator))
    people = features.people(photos=objective.smallest_set + left_out)
    chosen = people[torch.randint(len(people), (size,), generator=generator)]
    photos = features.photos_of(chosen, n + left_out, generator).to(features.captions.device)
    present = features.present(chosen, n + left_out)
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
    photos, mirrored, sentences = photos[rows], mirrored[rows].long(), sentences[rows]
    latents = features.latents[photos, mirrored].to(device).float()
    return Batch(
        latents=latents[:, 0],
        text=features.text_of(target[rows], device),
        patches=features.patches[photos[:, left_out:], mirrored[:, left_out:]].to(device).float(),
        captions=features.pooled[sentences[:, left_out:]].to(device).float(),
        set_latents=latents[:, left_out:],
        mask=present[rows, left_out:].to(device),
        dropped=dropped[rows].to(device),
        t=t[rows].to(device),
        eps=eps[rows].to(device),
        time_ids=None if features.time_ids is None else features.time_ids[photos[:, 0].cpu()],
    )


def _largest_set(features: TrainingFeatures, objective: Objective) -> int:
    """The largest set size that the data allow; raises MethodError if that is below `smallest_set`."""
    left_out = int(objective.leave_out)
    largest = min(objective.largest_set, int(features.count.max()) - left_out)
    if largest < objective.smallest_set:
        needed = {1: "one photograph", 2: "two photographs"}.get(
            objective.smallest_set + left_out, f"{objective.smallest_set + left_out} photographs"
        )
        raise MethodError(f"training set: no person with {needed}; leave-one-out needs them")
    return largest


def leave_one_out_loss(
    network: LeaveOneOutNetwork, batch: Batch, backbone: Backbone, noising: Noising
) -> Tensor:
    """Loss of each row, (B,), averaged over its latent. The adapter must be attached to the backbone."""
    noise, t, eps = backbone.noise, batch.t, batch.eps
    tokens = network.tokens_of(batch.patches)
    aggregated = network.aggregate(tokens, batch.captions, batch.text.pooled, batch.mask)
    network.adapter.slot.fill(network.drop_photos(aggregated, batch.dropped))
    clean = clean_latents(network, batch, noising)
    predicted = backbone.predict(
        noise.add(clean, eps, t), t, backbone.conditioning(batch.text, batch.time_ids)
    )
    residual = predicted - noise.target(clean, eps, t)
    return residual.square().mean(dim=(1, 2, 3))


def clean_latents(network: LeaveOneOutNetwork, batch: Batch, noising: Noising) -> Tensor:
    """The latents to be noised: x_j, or G(X0 without x_j) in latent space, as in the source's formula."""
    if noising == "held-out":
        return batch.latents
    # No gradient: a loss that can change its own target collapses.
    with torch.no_grad():
        blended = network.blend(batch.set_latents, batch.captions, batch.text.pooled, batch.mask)
    return blended.float()
