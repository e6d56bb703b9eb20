"""What CLIP's vision tower learns of a person beside captions; in training only.

Captions say nothing of a face's shape, and persons can be told apart by skin and hair. So the tower learns
two things more from one photograph, both read off the tokens that adapters see: the mean of the same person's
other photographs, and, where they are known, the numbers that describe the person.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.pretraining.dataset import Descriptions, TrainingSet
from methods.tiny_sd.unet import face_weight

COMPONENTS: Final = 160
"""Principal components of the persons' mean photographs."""
SPECTRUM_POWER: Final = 0.25
"""Component i counts as i^-EVENED: the details of a face lie in the small ones."""
READOUT_LR_SCALE: Final = 4.0
"""How much faster than other parameters a number finds the place where it is read."""
VARIANCE_FLOOR: Final = 4.0
"""Of 255; added to the deviations, so that pixels that hardly differ do not count as much as others."""


class IdentityLosses(nn.Module):
    """Heads on the tokens of the last layer but one, and what they are to say; thrown away after training."""

    weight: Tensor

    def __init__(self, data: TrainingSet, *, width: int, patch: int) -> None:
        super().__init__()
        side = data.pixels.shape[1] // patch
        self.means = MeanPhotographs(data, patch)
        self.norm = nn.LayerNorm(width)
        self.whole = nn.Linear(width, self.means.components.shape[1])
        self.patch = nn.Linear(width, 3 * patch**2)
        self.register_buffer("weight", face_weight(side).flatten(), persistent=False)
        self.numbers = Numbers(data.descriptions, width, 1 + side**2) if data.descriptions else None

    def forward(self, tokens: Tensor, rows: Tensor, mirrored: Tensor) -> Tensor:
        """The sum of two or three losses, each about 1 for one who knows nothing.

        `tokens` are B x (1 + places) x width, `rows` (B) rows of the training set.
        """
        tokens = self.norm(tokens)
        components = self.means.components[self.means.people[rows]].to(tokens.device)
        others = self.means.of_others(rows, mirrored).to(tokens.device)
        errors = (self.patch(tokens[:, 1:]).float() - others).square().mean(2)
        loss: Tensor = (
            F.mse_loss(self.whole(tokens[:, 0]).float(), components) + (errors * self.weight).mean()
        )
        return loss if self.numbers is None else loss + self.numbers(tokens, rows)


class Numbers(nn.Module):
    """Reads each number that describes a person off the tokens at the places where it is best told."""

    def __init__(self, descriptions: Descriptions, width: int, places: int) -> None:
        super().__init__()
        self.numbers = torch.from_numpy(descriptions.numbers)
        self.read = nn.Linear(width, self.numbers.shape[1])
        self.place = nn.Parameter(torch.zeros(places, self.numbers.shape[1]))

    def forward(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """Mean squared error; the numbers have a deviation of 1."""
        said = (self.read(tokens) * (READOUT_LR_SCALE * self.place).softmax(0)).sum(1)
        return F.mse_loss(said.float(), self.numbers[rows].to(said.device))


class MeanPhotographs:
    """The mean photograph of each person, less that of everybody, in deviations over persons."""

    def __init__(self, data: TrainingSet, patch: int) -> None:
        self.data, self.patch = data, patch
        self.people = torch.from_numpy(data.identities)
        self.counts = torch.bincount(self.people)
        self.sums = torch.zeros(len(self.counts), *data.pixels.shape[1:])
        for rows in torch.arange(len(self.people)).split(1_000):
            self.sums.index_add_(0, self.people[rows], _values(data, rows))
        means = self.sums / self.counts[:, None, None, None]
        self.mean, self.deviation = means.mean(0), means.std(0) + VARIANCE_FLOOR
        self.components = _components((means - self.mean) / self.deviation)

    def of_others(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """Of the other photographs of each row's person, who needs two at least: B x places x 3 patch^2."""
        who = self.people[rows]
        others = (self.sums[who] - _values(self.data, rows)) / (self.counts[who] - 1)[:, None, None, None]
        others = (others - self.mean) / self.deviation
        others = torch.where(mirrored[:, None, None, None], others.flip(2), others)
        side = others.shape[1] // self.patch
        cut = others.view(-1, side, self.patch, side, self.patch, 3).transpose(2, 3)
        return cut.reshape(len(rows), side**2, -1)


def _values(data: TrainingSet, rows: Tensor) -> Tensor:
    return torch.from_numpy(data.pixels[rows.numpy()]).float()


def _components(means: Tensor) -> Tensor:
    """Of symmetric pictures, since photographs are mirrored: persons x COMPONENTS, mean square 1."""
    flat = ((means + means.flip(2)) / 2).flatten(1)
    few = min(COMPONENTS, *flat.shape)
    directions = torch.pca_lowrank(flat, few, niter=4)[2]
    parts = (flat - flat.mean(0)) @ directions
    parts = parts / parts.std(0) * torch.arange(1, few + 1) ** -SPECTRUM_POWER
    return parts / parts.square().mean().sqrt()
