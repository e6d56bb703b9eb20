"""Training of the in-domain face network: a small ResNet with the ArcFace loss, on rendered people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.encoders.architectures.small_resnet import FaceNetwork, Widths, save_network
from metrics.training.augmentation import LabelledPhotos, augment, pixel_batch, sample_rows
from metrics.training.loop import Progress, Schedule, autocast, train


@dataclass(frozen=True)
class ArcFaceLoss:
    """Additive angular margin (Deng et al. 2019, eq. 3): increases the angle to the correct class."""

    scale: float = 32.0
    margin: float = 0.35
    """Radians."""
    warm_up: float = 0.3
    """Share of the training over which the margin grows: a full margin at once stalls a small network."""

    def __call__(self, vectors: Tensor, centres: Tensor, people: Tensor, done: float) -> Tensor:
        """Cross-entropy of B x width vectors against P x width centres at training progress `done` (0..1)."""
        margin = self.margin * min(1.0, done / self.warm_up)
        # float32 here: the sine below loses half of its digits near zero, and bfloat16 has only three.
        cosine = F.linear(F.normalize(vectors.float()), F.normalize(centres.float())).clamp(-1, 1)
        correct = cosine.gather(1, people[:, None])
        shifted = correct * math.cos(margin) - (1 - correct.square()).clamp_min(1e-7).sqrt() * math.sin(
            margin
        )
        # Beyond pi - margin the cosine would rise again; a linear continuation keeps the loss monotonic.
        shifted = torch.where(
            correct > math.cos(math.pi - margin), shifted, correct - math.sin(margin) * margin
        )
        return F.cross_entropy(self.scale * cosine.scatter(1, people[:, None], shifted), people)


def train_face_network(
    photos: LabelledPhotos,
    out: Path,
    *,
    device: torch.device,
    progress: Progress,
    schedule: Schedule | None = None,
    checkpoints: Path | None = None,
    arcface: ArcFaceLoss | None = None,
) -> Path:
    """Train on all people of `photos` and write `<out>/face-rendered.safetensors`; returns that path.

    The checkpoint is in `checkpoints`, or in `out`; an interrupted run continues from it.
    The default schedule takes about six minutes on one core for 24,000 photographs.
    """
    schedule = schedule or Schedule(steps=2000)
    arcface = arcface or ArcFaceLoss()
    people, person = np.unique(photos.identities, return_inverse=True)
    person_of = torch.from_numpy(person.astype(np.int64))
    torch.manual_seed(schedule.seed)
    network = FaceNetwork(Widths())
    centres = nn.Parameter(torch.randn(len(people), network.width) * 0.02)
    parameters = nn.ParameterDict({"centres": centres})
    module = nn.ModuleDict({"network": network, "centres": parameters}).to(device)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = sample_rows(len(person_of), schedule.batch, generator)
        mirror = torch.rand(len(rows), generator=generator) < 0.5
        pixels = augment(pixel_batch(photos, rows), mirror, generator).to(device)
        with autocast(device):
            vectors = network(pixels)
        return arcface(vectors, parameters["centres"], person_of[rows].to(device), step / schedule.steps)

    out.mkdir(parents=True, exist_ok=True)
    checkpoint = (checkpoints or out) / "face-rendered.checkpoint"
    train(module, loss, schedule, checkpoint=checkpoint, device=device, progress=progress)
    save_network(out / "face-rendered.safetensors", network)
    return out / "face-rendered.safetensors"
