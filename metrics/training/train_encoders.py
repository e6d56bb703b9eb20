"""Both evaluation networks of the embedded world with their card: what `bench train encoders` calls."""

from __future__ import annotations

from pathlib import Path

import torch

from metrics.training.attributes import train_attributes
from metrics.training.augmentation import LabelledPhotos
from metrics.training.face_network import train_face_network
from metrics.training.loop import Progress
from metrics.training.model_card import Card, write_card


def train_encoders(
    training: LabelledPhotos,
    test: LabelledPhotos,
    out: Path,
    *,
    checkpoints: Path,
    device: torch.device,
    progress: Progress,
) -> Card:
    """Train both networks, measure them on people they have not seen, and write weights and card into `out`.

    Interrupted, it continues from `checkpoints`; finished networks are not trained again.
    """

    def named(name: str) -> Progress:
        return lambda step, steps, line: progress(step, steps, f"{name}: {line}")

    train_face_network(training, out, device=device, progress=named("face network"), checkpoints=checkpoints)
    train_attributes(training, out, device=device, progress=named("attributes"), checkpoints=checkpoints)
    return write_card(out, test)
