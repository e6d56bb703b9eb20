"""The attribute classifier: a small ResNet with a head for each thing a caption can say of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from metrics.encoders.architectures.small_resnet import AttributeNetwork, Widths, save_network
from metrics.training.augmentation import MIRRORED, LabelledPhotos, draw_rows, pixels_of, vary
from metrics.training.loop import Progress, Schedule, autocast, train

ATTRIBUTES: Final = (
    *("noun", "age", "skin", "hair", "style", "beard"),
    *("glasses", "hat", "shirt", "background", "expression", "pose"),
)
UNSEEN: Final = -1
"""The class number of an attribute that cannot be seen in a row, and is not judged."""


def train_attributes(
    photos: LabelledPhotos,
    out: Path,
    *,
    device: torch.device,
    progress: Progress,
    schedule: Schedule | None = None,
    checkpoints: Path | None = None,
) -> Path:
    """Train on all rows of `photos` and write `<out>/attributes.safetensors`; returns that path.

    The checkpoint lies in `checkpoints`, or in `out`; an interrupted run continues from it. The default
    schedule takes about four minutes on one core for 24,000 photographs.
    """
    schedule = schedule or Schedule(steps=1500)
    classes = {name: sorted(set(photos.labels(name))) for name in ATTRIBUTES}
    truth = {name: torch.from_numpy(numbers) for name, numbers in targets(photos, classes).items()}
    mirrored = {name: _mirror(numbers, classes[name]) for name, numbers in truth.items()}
    torch.manual_seed(schedule.seed)
    network = AttributeNetwork(Widths(), classes).to(device)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = draw_rows(len(photos.identities), schedule.batch, generator)
        mirror = torch.rand(len(rows), generator=generator) < 0.5
        pixels = vary(pixels_of(photos, rows), mirror, generator).to(device)
        with autocast(device):
            logits = network(pixels)
        total = torch.zeros((), device=device)
        for name in ATTRIBUTES:
            wanted = torch.where(mirror, mirrored[name][rows], truth[name][rows]).to(device)
            judged = (wanted != UNSEEN).sum().clamp_min(1)
            total = (
                total
                + F.cross_entropy(logits[name].float(), wanted, ignore_index=UNSEEN, reduction="sum") / judged
            )
        return total

    out.mkdir(parents=True, exist_ok=True)
    checkpoint = (checkpoints or out) / "attributes.checkpoint"
    train(network, loss, schedule, checkpoint=checkpoint, device=device, progress=progress)
    save_network(out / "attributes.safetensors", network)
    return out / "attributes.safetensors"


def targets(photos: LabelledPhotos, classes: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.int64]]:
    """Class numbers of every row by attribute; UNSEEN where it is hidden or not in `classes`.

    A hat hides the style; a bald head shows no hair colour, nor does a short-haired one under a hat.
    """
    hatted = np.array([hat != "none" for hat in photos.labels("hat")])
    bald = np.array([style in ("bald", "buzz", "short") for style in photos.labels("style")])
    hidden = {"style": hatted, "hair": (bald & hatted) | (np.array(photos.labels("style")) == "bald")}
    found = {}
    for name, values in classes.items():
        number = {value: index for index, value in enumerate(values)}
        numbers = np.array([number.get(label, UNSEEN) for label in photos.labels(name)], np.int64)
        found[name] = np.where(hidden[name], UNSEEN, numbers) if name in hidden else numbers
    return found


def _mirror(numbers: Tensor, values: Sequence[str]) -> Tensor:
    opposites = [MIRRORED.get(value, value) for value in values]
    swap = torch.tensor([values.index(value) if value in values else UNSEEN for value in opposites])
    return torch.where(numbers == UNSEEN, UNSEEN, swap[numbers.clamp_min(0)])
