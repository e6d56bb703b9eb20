"""Folders, data and device shared by the recipes that train the shipped weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from methods.errors import MethodError
from methods.pretraining.checkpoint import seconds_spent
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.loop import Progress, Schedule


@dataclass(frozen=True)
class TrainingWorkspace:
    """Inputs, output folders and device of a training."""

    data: TrainingSet
    unseen: TrainingSet
    """Photographs of people that are not in `data`, for the evaluation on the model card."""
    weights: Path
    """The folder for the finished networks."""
    checkpoints: Path
    device: torch.device
    progress: Progress
    start: Path | None = None
    """The checkpoint folder of an earlier training, whose finished networks are trained further."""

    def finished(self, part: str) -> Path:
        """The folder of a finished network, of this training or of the earlier one; may raise MethodError."""
        folder = self.checkpoints / part
        if self.start and not folder.exists():
            folder = self.start / part
        return require_network(folder, part)

    def training_summary(self, schedule: Schedule, checkpoint: Path) -> dict[str, object]:
        """The rows of the model card's training table."""
        people, processes = len(np.unique(self.data.identities)), DistributedGroup.current().size
        return {
            **({"started from": "the finished network of an earlier training"} if self.start else {}),
            "training photographs": f"{len(self.data.pixels)} of {people} people",
            "steps x batch": f"{schedule.steps} x {schedule.batch}",
            "learning rate": schedule.learning_rate,
            "seconds": round(seconds_spent(checkpoint)),
            "device": f"{self.device}, {processes} processes" if processes > 1 else str(self.device),
        }


def require_network(folder: Path, part: str, file: str = "config.json") -> Path:
    """`folder` if it contains `file`; otherwise raises MethodError with the part to train first."""
    if not (folder / file).exists():
        raise MethodError(f"{folder}: no {file}; train the {part} first")
    return folder


def emptied(folder: Path) -> Path:
    """`folder`, newly created without content."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
