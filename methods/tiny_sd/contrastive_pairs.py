"""Two photographs of each of several persons: what the image encoder learns from."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from methods.pretraining.dataset import TrainingSet
from methods.tiny_sd.autoencoder import as_tensor


class Pairs:
    """Draws persons, and two different photographs of each."""

    def __init__(self, data: TrainingSet) -> None:
        order = np.argsort(data.identities, kind="stable")
        _, start, count = np.unique(data.identities[order], return_index=True, return_counts=True)
        several = count > 1
        self.data = data
        self.order = torch.from_numpy(order)
        self.start, self.count = torch.from_numpy(start[several]), torch.from_numpy(count[several])

    def sample(self, persons: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows (first photographs, then second ones) and whether each is mirrored; both len 2 * persons."""
        who = torch.randperm(len(self.start), generator=generator)[:persons]
        first = (torch.rand(len(who), generator=generator) * self.count[who]).long()
        step = 1 + (torch.rand(len(who), generator=generator) * (self.count[who] - 1)).long()
        second = (first + step) % self.count[who]
        rows = self.order[torch.cat([self.start[who] + first, self.start[who] + second])]
        return rows, torch.rand(len(rows), generator=generator) < 0.5

    def pictures(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """B x 3 x size x size, -1..1."""
        pictures = as_tensor(self.data.pixels[rows.numpy()])
        return torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)


def contrast(logits: Tensor) -> Tensor:
    """Cross-entropy, both ways, of a square of logits whose diagonal is right (Radford et al. 2021)."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
