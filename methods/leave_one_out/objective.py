"""The leave-one-out loss: restore a photograph from its caption and the other photographs of the person.

    L = E || eps - eps_theta(X_t, c_t, G(c_i without c_j), t) ||^2

j is uniform over the person's photographs, t uniform on the schedule, c_t the text features of the dropped
caption, c_i the features of the remaining photographs and captions. For a backbone that predicts v the
residual is the velocity's, which for a given X_t is that of eps divided by alpha_t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from methods.interface import MethodError
from methods.leave_one_out.network import LeaveOneOutNetwork
from methods.noise import NoiseSchedule
from methods.training_features import TrainingFeatures

Noising = Literal["held-out", "aggregate"]


@dataclass(frozen=True)
class Objective:
    """The loss's settings."""

    noising: Noising = "held-out"
    """What X_t is a noised version of: the dropped photograph, or G of the remaining ones' latents."""
    largest_set: int = 6
    """Sets of 1 to so many remaining photographs, uniformly, so that one network serves them all."""
    drop_image: float = 0.05
    drop_text: float = 0.05
    drop_both: float = 0.05
    """Shares of rows without photographs, without a caption, without both: for classifier-free guidance."""

    def __post_init__(self) -> None:
        if self.noising not in ("held-out", "aggregate"):
            raise MethodError(
                f"leave-one-out: unknown noising {self.noising!r}; known are held-out, aggregate"
            )
        if self.largest_set < 1:
            raise MethodError(f"leave-one-out: largest_set is {self.largest_set}; wanted at least 1")


@dataclass(frozen=True)
class Batch:
    """B dropped photographs, each with n others of its person."""

    latents: Tensor
    """(B, C, h, w): x_j."""
    text: Tensor
    """(B, L, D): c_t, the tokens of t_j; those of the empty sentence where the caption is dropped."""
    wanted: Tensor
    """(B, P): the same sentence's one feature."""
    patches: Tensor
    """(B, n, L, E): what the image encoder says of the others."""
    captions: Tensor
    """(B, n, P): the others' captions."""
    others: Tensor
    """(B, n, C, h, w): the others' latents."""
    mask: Tensor
    """(B, n): which of the others there are."""
    dropped: Tensor
    """(B,): rows that see no photographs."""


def draw_batch(
    features: TrainingFeatures,
    objective: Objective,
    size: int,
    generator: torch.Generator,
    device: torch.device,
) -> Batch:
    """Persons uniform, j uniform over the person's photographs, the others a uniform subset of the rest.

    All sets of a batch have one size n, drawn uniformly from 1 to the largest that some person allows.
    """
    most = min(objective.largest_set, int(features.count.max()) - 1)
    if most < 1:
        raise MethodError("training set: no person with two photographs; leave-one-out needs them")
    n = int(torch.randint(1, most + 1, (), generator=generator))
    people = features.people(photos=n + 1)
    chosen = people[torch.randint(len(people), (size,), generator=generator)]
    rows = features.photos_of(chosen, n + 1, generator).to(features.captions.device)
    mirrored = (torch.rand(rows.shape, generator=generator) < 0.5).to(rows.device)
    sentences = features.caption_of(rows, mirrored, generator)
    chance = torch.rand(size, generator=generator).to(rows.device)
    both, text = objective.drop_both, objective.drop_both + objective.drop_text
    target = torch.where(chance < text, 0, sentences[:, 0])
    dropped = (chance < both) | ((chance >= text) & (chance < text + objective.drop_image))
    side = mirrored.long()
    latents = features.latents[rows, side].to(device).float()
    return Batch(
        latents=latents[:, 0],
        text=features.sentences[target].to(device).float(),
        wanted=features.pooled[target].to(device).float(),
        patches=features.patches[rows[:, 1:], side[:, 1:]].to(device).float(),
        captions=features.pooled[sentences[:, 1:]].to(device).float(),
        others=latents[:, 1:],
        mask=torch.ones(size, n, dtype=torch.bool, device=device),
        dropped=dropped.to(device),
    )


def leave_one_out_loss(
    network: LeaveOneOutNetwork,
    batch: Batch,
    unet: Any,
    *,
    noise: NoiseSchedule,
    noising: Noising,
    t: Tensor,
    eps: Tensor,
) -> Tensor:
    """The loss of each row, (B,), averaged over its latent. The adapter must be on the U-Net."""
    tokens = network.tokens_of(batch.patches)
    gathered = network.gather(tokens, batch.captions, batch.wanted, batch.mask)
    network.adapter.slot.gathered = network.without(gathered, batch.dropped)
    clean = noised_from(network, batch, noising)
    x_t = noise.add(clean, eps, t)
    predicted = unet(x_t, t, encoder_hidden_states=batch.text, return_dict=False)[0]
    residual: Tensor = predicted.float() - noise.target(clean, eps, t)
    return residual.square().mean(dim=(1, 2, 3))


def noised_from(network: LeaveOneOutNetwork, batch: Batch, noising: Noising) -> Tensor:
    """What is noised: x_j, or to the letter of the source's formula G(X0 without x_j), in latent space."""
    if noising == "held-out":
        return batch.latents
    # The aggregate is data here: a loss that could change its own target would collapse it.
    with torch.no_grad():
        blended = network.blend(batch.others, batch.captions, batch.wanted, batch.mask)
    return blended.float()
