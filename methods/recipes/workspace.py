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
    """Where a training command reads and writes."""

    data: TrainingSet
    unseen: TrainingSet
    """Photographs of people that are not in `data`; the card's numbers come from them."""
    weights: Path
    """The folder that receives the finished networks."""
    checkpoints: Path
    device: torch.device
    progress: Progress
    start: Path | None = None
    """The checkpoints of an earlier making, whose finished networks go on learning."""

    def finished(self, part: str) -> Path:
        """The folder of a part that `bench train <part>` has made, here or in the earlier making."""
        folder = self.checkpoints / part
        if self.start and not folder.exists():
            folder = self.start / part
        return _needed(folder, part)

    def made_of(self, schedule: Schedule, checkpoint: Path) -> dict[str, object]:
        """How a network was made, for its card."""
        people, processes = len(np.unique(self.data.identities)), DistributedGroup.here().size
        return {
            **({"started from": "a network that an earlier making had finished"} if self.start else {}),
            "training photographs": f"{len(self.data.pixels)} of {people} people",
            "steps x batch": f"{schedule.steps} x {schedule.batch}",
            "learning rate": schedule.learning_rate,
            "seconds": round(seconds_spent(checkpoint)),
            "device": f"{self.device}, {processes} processes" if processes > 1 else str(self.device),
        }


def _needed(folder: Path, command: str, file: str = "config.json") -> Path:
    if not (folder / file).exists():
        raise MethodError(f"{folder}: not there yet; run `bench train {command}` first")
    return folder


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
