"""Train both evaluation networks and write their card: the code behind `bench train encoders`."""

from __future__ import annotations

from pathlib import Path

import torch

from metrics.training.attributes import train_attributes
from metrics.training.augmentation import LabelledPhotos
from metrics.training.face_network import train_face_network
from metrics.training.loop import Progress
from metrics.training.model_card import ModelCard, write_card


def train_encoders(
    training: LabelledPhotos,
    test: LabelledPhotos,
    out: Path,
    *,
    checkpoints: Path,
    device: torch.device,
    progress: Progress,
) -> ModelCard:
    """Train both networks, evaluate them on unseen people, and write weights and card into `out`.

    An interrupted run continues from `checkpoints`; finished networks are not trained again.
    """

    def with_prefix(name: str) -> Progress:
        return lambda step, steps, line: progress(step, steps, f"{name}: {line}")

    train_face_network(
        training, out, device=device, progress=with_prefix("face network"), checkpoints=checkpoints
    )
    train_attributes(
        training, out, device=device, progress=with_prefix("attributes"), checkpoints=checkpoints
    )
    return write_card(out, test)
