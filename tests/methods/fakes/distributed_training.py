"""Trains a small leave-one-out network in the group of processes it is started in.

    python distributed_training.py BACKBONE ENCODER DATA.npz OUT.safetensors WORK

The tests start it as one process and as two, as `accelerate launch` does.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.torchvision_compat import ensure_torchvision_imports

ensure_torchvision_imports()

from numpy.typing import NDArray

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out
from methods.pretraining.loop import Schedule


@dataclass(frozen=True)
class StoredPeople:
    """Photographs from a file, all with one caption."""

    pixels: NDArray[np.uint8]
    identities: NDArray[np.int64]

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        return "a photo of a man, smiling"

    def template(self, row: int, *, mirrored: bool) -> str:
        return "a photo of {subject}"

    def noun(self, row: int) -> str:
        return "man"

    def original_size(self, row: int) -> tuple[int, int]:
        height, width = self.pixels.shape[1:3]
        return height, width


def train(backbone: str, encoder: str, data: str, out: str, work: str) -> None:
    """Train for a few steps; `work` then contains checkpoint and loss curve."""
    arrays = np.load(data)
    people = StoredPeople(arrays["pixels"], arrays["identities"])
    train_leave_one_out(
        people,
        Path(out),
        training=LeaveOneOutTraining(
            "attention",
            Objective(largest_set=3),
            tokens=3,
            hidden=64,
            encoder=Path(encoder),
            validate_every=2,
        ),
        backbone=Backbone.open(BackboneSpec(path=backbone, device="cpu")),
        # Rounding differs with the batch size; in bfloat16 the difference would be visible.
        schedule=Schedule(steps=4, batch=8, learning_rate=1e-3, warm_up=1, decay_from=1.0, precision="fp32"),
        work=Path(work),
        progress=lambda step, steps, line: print(step, steps, line, flush=True),  # noqa: T201
        unseen=people,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(*sys.argv[1:])
