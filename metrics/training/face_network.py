"""The in-domain face network: a small ResNet trained with the ArcFace loss on rendered people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.encoders.architectures.small_resnet import FaceNetwork, Widths, save_network
from metrics.training.augmentation import LabelledPhotos, draw_rows, pixels_of, vary
from metrics.training.loop import Progress, Schedule, autocast, train


@dataclass(frozen=True)
class ArcFace:
    """Additive angular margin (Deng et al. 2019, eq. 3): the right class's angle is made larger."""

    scale: float = 32.0
    margin: float = 0.35
    """Radians."""
    rise: float = 0.3
    """Share of the training over which the margin grows: a full one at once stalls a small network."""

    def loss(self, vectors: Tensor, centres: Tensor, people: Tensor, done: float) -> Tensor:
        """Cross-entropy of B x width vectors against P x width centres, `done` (0..1) into the training."""
        margin = self.margin * min(1.0, done / self.rise)
        # float32 here: the sine below loses half its digits near zero, and bfloat16 has but three.
        cosine = F.linear(F.normalize(vectors.float()), F.normalize(centres.float())).clamp(-1, 1)
        right = cosine.gather(1, people[:, None])
        moved = right * math.cos(margin) - (1 - right.square()).clamp_min(1e-7).sqrt() * math.sin(margin)
        # Beyond pi - margin the cosine would rise again; a straight line keeps the loss falling there.
        moved = torch.where(right > math.cos(math.pi - margin), moved, right - math.sin(margin) * margin)
        return F.cross_entropy(self.scale * cosine.scatter(1, people[:, None], moved), people)


def train_face_network(
    photos: LabelledPhotos,
    out: Path,
    *,
    device: torch.device,
    progress: Progress,
    schedule: Schedule | None = None,
    checkpoints: Path | None = None,
    arcface: ArcFace | None = None,
) -> Path:
    """Train on all people of `photos` and write `<out>/face-rendered.safetensors`; returns that path.

    The checkpoint lies in `checkpoints`, or in `out`; a run that was interrupted continues from it.
    The default schedule takes about six minutes on one core for 24,000 photographs.
    """
    schedule = schedule or Schedule(steps=2000)
    arcface = arcface or ArcFace()
    people, person = np.unique(photos.identities, return_inverse=True)
    person_of = torch.from_numpy(person.astype(np.int64))
    torch.manual_seed(schedule.seed)
    network = FaceNetwork(Widths())
    centres = nn.Parameter(torch.randn(len(people), network.width) * 0.02)
    module = nn.ParameterDict({"centres": centres})
    whole = nn.ModuleDict({"network": network, "centres": module}).to(device)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = draw_rows(len(person_of), schedule.batch, generator)
        mirror = torch.rand(len(rows), generator=generator) < 0.5
        pixels = vary(pixels_of(photos, rows), mirror, generator).to(device)
        with autocast(device):
            vectors = network(pixels)
        return arcface.loss(vectors, module["centres"], person_of[rows].to(device), step / schedule.steps)

    out.mkdir(parents=True, exist_ok=True)
    checkpoint = (checkpoints or out) / "face-rendered.checkpoint"
    train(whole, loss, schedule, checkpoint=checkpoint, device=device, progress=progress)
    save_network(out / "face-rendered.safetensors", network)
    return out / "face-rendered.safetensors"
