"""All that frozen networks say of a training set, computed once: latents, patch tokens, sentences."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.text_encoding import TextFeatures
from methods.encoders.clip_vision import ImageEncoder
from methods.errors import MethodError
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.feature_cache import EMBEDS, STORED, compute, compute_embeddings, key_of
from methods.pretraining.loop import Progress


@dataclass(frozen=True)
class TrainingFeatures:
    """N photographs and their mirror images; M distinct sentences, the first of which is empty.

    The second axis of `latents`, `patches` and `captions` is (as it is, mirrored).
    """

    latents: Tensor
    """N x 2 x C x h x w, half."""
    patches: Tensor
    """N x 2 x L x E, half: the image encoder's last layer but one."""
    sentences: Tensor
    """M x T x D, half: the text encoder's tokens."""
    pooled: Tensor
    """M x P, half: the text encoder's state at each sentence's end."""
    captions: Tensor
    """N x 2 x variants, indices into the sentences."""
    embeds: Tensor | None
    """N x 2 x P, half: the image encoder's projected embeddings; None where nobody asked for them."""
    nothing: Tensor
    """L x E: patch tokens of no picture."""
    order: Tensor
    """Rows sorted by person."""
    start: Tensor
    """Where each person's rows begin in `order`."""
    count: Tensor
    """How many rows each person has."""

    def caption_of(self, rows: Tensor, mirrored: Tensor, generator: torch.Generator) -> Tensor:
        """One of each photograph's sentences, as an index."""
        variant = torch.randint(self.captions.shape[2], rows.shape, generator=generator)
        return self.captions[rows, mirrored.long(), variant.to(rows.device)]

    def text_of(self, sentences: Tensor, device: torch.device) -> TextFeatures:
        """What the text encoders say of the sentences with these indices, in single precision."""
        return TextFeatures(
            self.sentences[sentences].to(device).float(), self.pooled[sentences].to(device).float()
        )

    def people(self, *, photos: int) -> Tensor:
        """The persons with at least so many photographs."""
        return torch.nonzero(self.count >= photos).squeeze(1)

    def photos_of(self, people: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` different photographs of each person, in random order: rows, (B, count).

        Who has fewer has the first of theirs in the places left over; `present` says which those are.
        """
        most = int(self.count.max())
        chance = torch.rand(len(people), most, generator=generator)
        chosen = chance.masked_fill(~self.present(people, most), 2).argsort(dim=1)[:, :count]
        chosen = torch.where(self.present(people, count), chosen, chosen[:, :1])
        return self.order[self.start[people][:, None] + chosen]

    def present(self, people: Tensor, count: int) -> Tensor:
        """Which of `count` places each person's photographs fill: (B, count)."""
        return torch.arange(count)[None] < self.count[people][:, None]


def training_features(
    data: TrainingSet,
    work: Path,
    *,
    backbone: Backbone,
    encoder: ImageEncoder,
    variants: int = 2,
    embeddings: bool = False,
    progress: Progress,
) -> TrainingFeatures:
    """Read the features from `work`, or compute them and write them there, for this and other trainings.

    Of trainings started side by side one computes them, and the others wait. The folder's name says what
    they were made of, so other weights or photographs never read them. `variants` captions are drawn for
    each photograph and for each mirror image.
    """
    if len(data.pixels) == 0:
        raise MethodError("training set: no photographs")
    folder = work / f"features-{key_of(data, backbone, encoder, variants)}"
    with DistributedGroup.here().leader_first(), _alone(folder):
        if not folder.is_dir():
            compute(folder, data, backbone, encoder, variants, progress)
        if embeddings and not (folder / EMBEDS).is_file():
            compute_embeddings(folder, data, encoder, progress)
    stored = _placed(_opened(folder, embeddings), backbone.device)
    order = np.argsort(data.identities, kind="stable")
    _, start, count = np.unique(data.identities[order], return_index=True, return_counts=True)
    return TrainingFeatures(
        **stored,  # type: ignore[arg-type]  # only the embeddings may be missing
        nothing=encoder.nothing()[0],
        order=torch.from_numpy(order),
        start=torch.from_numpy(start),
        count=torch.from_numpy(count),
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the system drops the lock when its holder ends, however it ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _opened(folder: Path, embeddings: bool) -> dict[str, Tensor | None]:
    """The files as tensors that stay on disk until their rows are read."""

    def mapped(name: str) -> Tensor:
        return torch.from_numpy(np.load(folder / name, mmap_mode="c"))

    stored: dict[str, Tensor | None] = {name: mapped(f"{name}.npy") for name in STORED}
    stored["embeds"] = mapped(EMBEDS) if embeddings else None
    return stored


def _placed(stored: dict[str, Tensor | None], device: torch.device) -> dict[str, Tensor | None]:
    """On the GPU if they take less than a quarter of what is free there; else rows go as they are drawn."""
    if device.type != "cuda":
        return stored
    size = sum(tensor.nbytes for tensor in stored.values() if tensor is not None)
    if 4 * size > torch.cuda.mem_get_info(device)[0]:
        return stored
    return {name: tensor.to(device) if tensor is not None else None for name, tensor in stored.items()}
