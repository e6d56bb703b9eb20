"""Losses that make the tokens of CLIP's vision tower encode a person's appearance; used in training only.

Captions do not describe the shape of a face, and skin and hair are enough to tell most persons apart. So the
tower is trained on two more targets, both predicted from the tokens of one photograph that adapters read: the
mean of the same person's other photographs, and, where they are available, the person's numeric attributes.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.pretraining.dataset import Descriptions, TrainingSet
from methods.tiny_sd.encoded_set import face_weight

COMPONENTS: Final = 160
"""Principal components of the persons' mean photographs."""
SPECTRUM_POWER: Final = 0.25
"""Component i is weighted by i^-SPECTRUM_POWER, since small components contain facial detail."""
READOUT_LR_SCALE: Final = 4.0
"""Learning-rate multiplier of the weights that select the tokens of an attribute."""
VARIANCE_FLOOR: Final = 4.0
"""Added to the deviations (of 0..255), so that nearly constant pixels are not amplified."""


class IdentityLosses(nn.Module):
    """Auxiliary heads on the tokens of the second-to-last layer, with their targets."""

    weight: Tensor

    def __init__(self, data: TrainingSet, *, width: int, patch: int) -> None:
        super().__init__()
        side = data.pixels.shape[1] // patch
        self.means = MeanPhotographs(data, patch)
        self.norm = nn.LayerNorm(width)
        self.component_head = nn.Linear(width, self.means.components.shape[1])
        self.patch_head = nn.Linear(width, 3 * patch**2)
        self.register_buffer("weight", face_weight(side).flatten(), persistent=False)
        self.attributes = (
            AttributeRegression(data.descriptions, width, 1 + side**2) if data.descriptions else None
        )

    def forward(self, tokens: Tensor, rows: Tensor, mirrored: Tensor) -> Tensor:
        """The sum of two or three losses, each about 1 for tokens without information.

        `tokens` are B x (1 + patches) x width, `rows` (B) rows of the training set.
        """
        tokens = self.norm(tokens)
        components = self.means.components[self.means.people[rows]].to(tokens.device)
        others = self.means.of_others(rows, mirrored).to(tokens.device)
        errors = (self.patch_head(tokens[:, 1:]).float() - others).square().mean(2)
        loss: Tensor = (
            F.mse_loss(self.component_head(tokens[:, 0]).float(), components) + (errors * self.weight).mean()
        )
        return loss if self.attributes is None else loss + self.attributes(tokens, rows)


class AttributeRegression(nn.Module):
    """Predicts each attribute of a person from a learned weighting of the tokens."""

    def __init__(self, descriptions: Descriptions, width: int, tokens: int) -> None:
        super().__init__()
        self.numbers = torch.from_numpy(descriptions.numbers)
        self.linear = nn.Linear(width, self.numbers.shape[1])
        self.token_logits = nn.Parameter(torch.zeros(tokens, self.numbers.shape[1]))

    def forward(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """Mean squared error; the attributes have a deviation of 1."""
        weights = (READOUT_LR_SCALE * self.token_logits).softmax(0)
        predicted = (self.linear(tokens) * weights).sum(1)
        return F.mse_loss(predicted.float(), self.numbers[rows].to(predicted.device))


class MeanPhotographs:
    """The mean photograph of each person, standardised over persons."""

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
        """Mean of the person's other photographs, B x patches x 3 patch^2; needs two per person."""
        person = self.people[rows]
        count = (self.counts[person] - 1)[:, None, None, None]
        others = (self.sums[person] - _values(self.data, rows)) / count
        others = (others - self.mean) / self.deviation
        others = torch.where(mirrored[:, None, None, None], others.flip(2), others)
        side = others.shape[1] // self.patch
        patches = others.view(-1, side, self.patch, side, self.patch, 3).transpose(2, 3)
        return patches.reshape(len(rows), side**2, -1)


def _values(data: TrainingSet, rows: Tensor) -> Tensor:
    return torch.from_numpy(data.pixels[rows.numpy()]).float()


def _components(means: Tensor) -> Tensor:
    """Principal components, persons x COMPONENTS, mean square 1; of symmetric means, as training mirrors."""
    flat = ((means + means.flip(2)) / 2).flatten(1)
    count = min(COMPONENTS, *flat.shape)
    directions = torch.pca_lowrank(flat, count, niter=4)[2]
    parts = (flat - flat.mean(0)) @ directions
    parts = parts / parts.std(0) * torch.arange(1, count + 1) ** -SPECTRUM_POWER
    return parts / parts.square().mean().sqrt()
