"""A captioned training set as encoded inputs of a denoiser, and the weight of the loss in faces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from methods.compute.atomic_io import atomic_file
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.tiny_sd.autoencoder import encode_all
from methods.tiny_sd.captions import CaptionBank, caption_bank, plain_captions
from methods.tiny_sd.tokenizer import token_ids

EMPTY_CAPTION_SHARE: Final = 0.1
"""Share of the training images with an empty caption, for classifier-free guidance."""
FACE_REGION: Final = (slice(4, 13), slice(4, 12))
"""Rows and columns of the eye-aligned faces, from brows to chin, in sixteenths of the image."""
FACE_WEIGHT: Final = 4.0
"""Weight of an error in `FACE_REGION` relative to one outside."""

TimeSampler = Callable[[int, torch.Generator], Tensor]
"""Samples the times of so many training images."""


@dataclass(frozen=True)
class FrozenParts:
    """The finished networks around the denoiser; they are not trained with it."""

    autoencoder: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer


class Batch(NamedTuple):
    """B training images as inputs of the denoiser."""

    latents: Tensor
    """B x C x h x w."""
    ids: Tensor
    """Token ids of the captions, B x L."""
    t: Tensor
    """Times, B, in the unit of the sampler."""
    noise: Tensor
    """B x C x h x w."""
    rows: Tensor
    """Rows of the training set, B."""
    described: Tensor
    """Whether the image's attribute tokens are used, B."""

    def part(self, rows: slice) -> Batch:
        return Batch(*(values[rows] for values in self))


@dataclass(frozen=True)
class EncodedSet:
    """The training set as encoded inputs of the denoiser."""

    latents: Tensor
    """N x 2 x C x h x w, half; the second axis is (original, mirrored)."""
    captions: CaptionBank
    empty: Tensor
    """Token ids of the empty caption, 1 x L."""

    @classmethod
    def of(
        cls, data: TrainingSet, parts: FrozenParts, seed: int, device: torch.device, work: Path
    ) -> EncodedSet:
        """Encode all photographs; their latents are stored in the folder `work`."""
        latents = cached_latents(data, parts.autoencoder, device, work)
        empty = torch.tensor(token_ids(parts.tokenizer, [""]))
        return cls(latents, caption_bank(data, parts.tokenizer, seed=seed), empty)

    def sample(
        self, size: int, generator: torch.Generator, sample_times: TimeSampler, attributes_share: float
    ) -> Batch:
        """Random photographs or mirror images, with a random caption, noise and time each.

        `attributes_share` is the share of them that get attribute tokens.
        """
        rows = torch.randint(len(self.latents), (size,), generator=generator)
        mirrored = torch.rand(size, generator=generator) < 0.5
        ids = self.captions.sample(rows, mirrored, generator)
        without = torch.rand(size, generator=generator) < EMPTY_CAPTION_SHARE
        ids = torch.where(without[:, None], self.empty, ids)
        t = sample_times(size, generator)
        latents = self.latents[rows, mirrored.long()].float()
        noise = torch.randn(latents.shape, generator=generator)
        # The rows are random, so the positions need not be; equal numbers make shapes equal in all steps.
        described = (torch.arange(size + 1, dtype=torch.float64) * attributes_share).floor().diff() > 0
        return Batch(latents, ids, t, noise, rows, described)


def unseen_inputs(
    unseen: TrainingSet, parts: FrozenParts, images: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, token ids of plain captions and seeded noise of the first images of a set, to measure on."""
    pixels = unseen.pixels[:images]
    latents = encode_all(parts.autoencoder, pixels, device)
    ids = torch.tensor(token_ids(parts.tokenizer, plain_captions(unseen, len(pixels))))
    return latents, ids, torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))


def cached_latents(
    data: TrainingSet, autoencoder: AutoencoderKL, device: torch.device, folder: Path
) -> Tensor:
    """Latents of all photographs and mirror images, N x 2 x C x h x w, half; encoding them takes minutes.

    The file's name contains a digest of photographs and autoencoder, so others' latents are never read.
    """
    digest = hashlib.sha256()
    for row in range(0, len(data.pixels), 1000):
        digest.update(data.pixels[row : row + 1000].tobytes())
    for network in (autoencoder.encoder, autoencoder.quant_conv):
        for weights in network.state_dict().values():
            digest.update(weights.cpu().float().contiguous().numpy().tobytes())
    file = folder / f"latents-{digest.hexdigest()[:16]}.npy"
    with DistributedGroup.current().main_process_first():
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            views = (data.pixels, data.pixels[:, :, ::-1])
            with torch.autocast(device.type, enabled=False):
                latents = torch.stack([encode_all(autoencoder, view, device).half() for view in views], 1)
            with atomic_file(file) as temporary, temporary.open("wb") as stream:
                np.save(stream, latents.numpy())
    return torch.from_numpy(np.load(file))


def face_weight(size: int) -> Tensor:
    """Loss weights, size x size, mean 1; eyes, nose and mouth are a small part of the image."""
    weight = torch.ones(16, 16)
    weight[FACE_REGION] = FACE_WEIGHT
    weight = F.interpolate(weight[None, None], size=(size, size), mode="area")[0, 0]
    return weight / weight.mean()
