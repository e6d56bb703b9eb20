"""Captions of a whole training set, sampled and tokenised once before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from methods.pretraining.dataset import TrainingSet
from methods.tiny_sd.tokenizer import token_ids

CAPTIONS: Final = 4000
"""Captions that are tokenised at a time."""


@dataclass(frozen=True)
class CaptionBank:
    """Several random captions of each photograph and of its mirror image, as token ids."""

    ids: Tensor
    """N x 2 x variants x L, int16; the second axis is (original, mirrored)."""

    def sample(self, rows: Tensor, mirrored: Tensor, generator: torch.Generator) -> Tensor:
        """A random caption for each of `rows`, int64, len(rows) x L."""
        variant = torch.randint(self.ids.shape[2], rows.shape, generator=generator)
        return self.ids[rows, mirrored.long(), variant].long()


def sample_captions(data: TrainingSet, *, variants: int, seed: int) -> list[str]:
    """`variants` random captions per photograph and mirror image, in the order of CaptionBank's axes."""
    rng = np.random.default_rng(seed)
    return [
        data.caption(row, rng, mirrored=mirrored)
        for row in range(len(data.pixels))
        for mirrored in (False, True)
        for _ in range(variants)
    ]


def plain_captions(data: TrainingSet, count: int) -> list[str]:
    """The full captions of the first `count` photographs, with `a {noun}` as the subject."""
    return [
        data.template(row, mirrored=False).replace("{subject}", f"a {data.noun(row)}") for row in range(count)
    ]


def caption_bank(
    data: TrainingSet, tokenizer: CLIPTokenizer, *, variants: int = 4, seed: int = 0
) -> CaptionBank:
    """Sample and tokenise captions for the whole set."""
    captions = sample_captions(data, variants=variants, seed=seed)
    distinct = sorted(set(captions))
    index = {caption: i for i, caption in enumerate(distinct)}
    # The tokenizer's own record of a caption takes 8 kB of memory.
    parts = [distinct[start : start + CAPTIONS] for start in range(0, len(distinct), CAPTIONS)]
    ids = torch.cat([torch.tensor(token_ids(tokenizer, part), dtype=torch.int16) for part in parts])
    rows = torch.tensor([index[caption] for caption in captions])
    return CaptionBank(ids[rows].reshape(len(data.pixels), 2, variants, ids.shape[1]))
