"""Precomputed outputs of the frozen networks on a training set: latents, patch tokens, text features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import TextFeatures
from methods.encoders.clip_vision import ImageEncoder
from methods.errors import MethodError
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.feature_cache import (
    ARRAYS,
    EMBEDDINGS_FILE,
    TIME_IDS_FILE,
    cache_key,
    compute_embeddings,
    compute_features,
    compute_time_ids,
)
from methods.pretraining.loop import Progress


@dataclass(frozen=True)
class TrainingFeatures:
    """N photographs and their mirror images; M distinct sentences, the first of which is empty.

    The second axis of `latents`, `patches` and `captions` is (original, mirrored).
    """

    latents: Tensor
    """N x 2 x C x h x w, half."""
    patches: Tensor
    """N x 2 x L x E, half: the image encoder's second-to-last layer."""
    sentences: Tensor
    """M x T x D, half: the text encoder's tokens."""
    pooled: Tensor
    """M x P, half: the text encoder's state at the end of each sentence."""
    captions: Tensor
    """N x 2 x variants, indices into the sentences."""
    embeds: Tensor | None
    """N x 2 x P, half: the image encoder's projected embeddings; None unless requested."""
    nothing: Tensor
    """L x E: the patch tokens that represent "no image"."""
    order: Tensor
    """Rows sorted by person."""
    start: Tensor
    """Index of each person's first row in `order`."""
    count: Tensor
    """Number of rows of each person."""
    time_ids: Tensor | None = None
    """N x 6: original size, crop and size of each photograph, which SDXL reads; None for other families."""

    def caption_of(self, rows: Tensor, mirrored: Tensor, generator: torch.Generator) -> Tensor:
        """A random caption of each row, as an index into the sentences."""
        variant = torch.randint(self.captions.shape[2], rows.shape, generator=generator)
        return self.captions[rows, mirrored.long(), variant.to(rows.device)]

    def text_of(self, sentences: Tensor, device: torch.device) -> TextFeatures:
        """Text features of the sentences with these indices, in single precision."""
        return TextFeatures(
            self.sentences[sentences].to(device).float(), self.pooled[sentences].to(device).float()
        )

    def people(self, *, photos: int) -> Tensor:
        """The people with at least `photos` photographs."""
        return torch.nonzero(self.count >= photos).squeeze(1)

    def photos_of(self, people: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` different photographs of each person, in random order: rows, (B, count).

        Where a person has fewer, the first of them fills the remaining places; see `present`.
        """
        most = int(self.count.max())
        chance = torch.rand(len(people), most, generator=generator)
        chosen = chance.masked_fill(~self.present(people, most), 2).argsort(dim=1)[:, :count]
        chosen = torch.where(self.present(people, count), chosen, chosen[:, :1])
        return self.order[self.start[people][:, None] + chosen]

    def present(self, people: Tensor, count: int) -> Tensor:
        """True for each of `count` places that a photograph of the person fills: (B, count)."""
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
    """Read the features from `work`; compute and write them first if they are missing.

    Of several simultaneous trainings one computes them while the others wait. The folder name contains a
    digest of weights and photographs, so features of other inputs are never read. `variants` captions are
    sampled for each photograph and for each mirror image. Raises MethodError for an empty training set.
    """
    if len(data.pixels) == 0:
        raise MethodError("training set: no photographs")
    folder = work / f"features-{cache_key(data, backbone, encoder, variants)}"
    work.mkdir(parents=True, exist_ok=True)
    # The operating system releases the lock when its holder ends, even after a crash.
    with DistributedGroup.current().main_process_first(), FileLock(work / f".{folder.name}.lock"):
        if not folder.is_dir():
            compute_features(folder, data, backbone, encoder, variants, progress)
        if embeddings and not (folder / EMBEDDINGS_FILE).is_file():
            compute_embeddings(folder, data, encoder, progress)
        if backbone.reads_image_size and not (folder / TIME_IDS_FILE).is_file():
            compute_time_ids(folder, data, backbone.resolution)
    time_ids = torch.from_numpy(np.load(folder / TIME_IDS_FILE)) if backbone.reads_image_size else None
    stored = _on_device(_read_arrays(folder, embeddings), backbone.device)
    order = np.argsort(data.identities, kind="stable")
    _, start, count = np.unique(data.identities[order], return_index=True, return_counts=True)
    return TrainingFeatures(
        **stored,  # type: ignore[arg-type]  # only the embeddings may be missing
        nothing=encoder.nothing()[0],
        order=torch.from_numpy(order),
        start=torch.from_numpy(start),
        count=torch.from_numpy(count),
        time_ids=time_ids,
    )


def _read_arrays(folder: Path, embeddings: bool) -> dict[str, Tensor | None]:
    """Memory-mapped tensors: rows are read from disk when they are used."""

    def mapped(name: str) -> Tensor:
        return torch.from_numpy(np.load(folder / name, mmap_mode="c"))

    stored: dict[str, Tensor | None] = {name: mapped(f"{name}.npy") for name in ARRAYS}
    stored["embeds"] = mapped(EMBEDDINGS_FILE) if embeddings else None
    return stored


def _on_device(stored: dict[str, Tensor | None], device: torch.device) -> dict[str, Tensor | None]:
    """Move to the GPU if at most a quarter of its free memory is needed; else rows move when sampled."""
    if device.type != "cuda":
        return stored
    size = sum(tensor.nbytes for tensor in stored.values() if tensor is not None)
    if 4 * size > torch.cuda.mem_get_info(device)[0]:
        return stored
    return {name: tensor.to(device) if tensor is not None else None for name, tensor in stored.items()}
