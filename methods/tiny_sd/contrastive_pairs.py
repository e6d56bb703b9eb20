"""Pairs of photographs of one person, and the contrastive loss on them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from methods.pretraining.dataset import TrainingSet
from methods.tiny_sd.autoencoder import as_tensor


class PhotoPairs:
    """Samples persons, and two different photographs of each."""

    def __init__(self, data: TrainingSet) -> None:
        order = np.argsort(data.identities, kind="stable")
        _, start, count = np.unique(data.identities[order], return_index=True, return_counts=True)
        paired = count > 1
        self.data = data
        self.order = torch.from_numpy(order)
        self.start, self.count = torch.from_numpy(start[paired]), torch.from_numpy(count[paired])

    def sample(self, persons: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows (all first photographs, then all second ones) and mirroring flags; both 2 * persons long."""
        people = torch.randperm(len(self.start), generator=generator)[:persons]
        first = (torch.rand(len(people), generator=generator) * self.count[people]).long()
        step = 1 + (torch.rand(len(people), generator=generator) * (self.count[people] - 1)).long()
        second = (first + step) % self.count[people]
        rows = self.order[torch.cat([self.start[people] + first, self.start[people] + second])]
        return rows, torch.rand(len(rows), generator=generator) < 0.5

    def images(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """B x 3 x size x size, -1..1."""
        images = as_tensor(self.data.pixels[rows.numpy()])
        return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def contrastive_loss(logits: Tensor) -> Tensor:
    """Symmetric cross-entropy of a square logit matrix; matches are on the diagonal (Radford et al. 2021)."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
