"""The tiny CLIP: its text tower serves the backbone, its vision tower ip-adapter and leave-one-out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.torchvision_ops import ensure_torchvision_imports
from methods.embedded.autoencoder import as_tensor
from methods.embedded.captions import caption_bank
from methods.embedded.tokenizer import MAX_LENGTH
from methods.training import Progress, Schedule, train
from methods.training_set import TrainingSet

ensure_torchvision_imports()

from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer  # noqa: E402

SCHEDULE = Schedule(
    steps=1_200, batch=128, learning_rate=1e-3, warm_up=100, decay_from=0.2, weight_decay=0.05
)
FURTHER = Schedule(steps=1_500, batch=128, learning_rate=6e-4, warm_up=60, decay_from=0.15, weight_decay=0.05)
"""For a network to go on from."""

EMBEDDING = 128
"""Width of the space in which pictures and captions meet."""


def new_clip(tokenizer: CLIPTokenizer, *, size: int = 64) -> CLIPModel:
    """An untrained CLIP: 8-pixel patches, 4 + 3 layers."""
    end = tokenizer.eos_token_id
    text = {
        "vocab_size": len(tokenizer),
        "projection_dim": EMBEDDING,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision = {
        "image_size": size,
        "patch_size": 8,
        "projection_dim": EMBEDDING,
        "hidden_size": 160,
        "intermediate_size": 640,
        "num_hidden_layers": 4,
        "num_attention_heads": 5,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=EMBEDDING))


def image_processor(size: int = 64) -> CLIPImageProcessor:
    """Pixels to -1..1 at the tower's size."""
    return CLIPImageProcessor(
        size={"height": size, "width": size},
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


class _Training(nn.Module):
    """CLIP with a second head on the vision tower, thrown away after training."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.person = nn.Linear(clip.config.vision_config.hidden_size, 128)
        self.person_scale = nn.Parameter(torch.tensor(2.3))


def train_clip(
    data: TrainingSet,
    tokenizer: CLIPTokenizer,
    *,
    schedule: Schedule,
    checkpoint: Path,
    device: torch.device,
    progress: Progress,
    start: CLIPModel | None = None,
) -> CLIPModel:
    """Radford et al. 2021 on pictures and captions, plus the same contrast on two photographs of a person.

    From `start`, a finished network, the vision tower alone goes on: a backbone may read the text tower.

    Captions say nothing of a face's shape. The second term makes the vision tower keep what the
    photographs of one person share; it has a head of its own, so captions and persons do not
    compete for one vector.
    """
    torch.manual_seed(schedule.seed)
    module = _Training(start or new_clip(tokenizer, size=data.pixels.shape[1])).to(device)
    if start is not None:
        for tower in (start.text_model, start.text_projection):
            tower.requires_grad_(False)
    captions = caption_bank(data, tokenizer, seed=schedule.seed)
    pairs = _Pairs(data)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows, mirrored = pairs.draw(schedule.batch // 2, generator)
        pictures = _pictures(data, rows, mirrored).to(device)
        ids = captions.draw(rows, mirrored, generator).to(device)
        return clip_loss(module, pictures, ids)

    train(module, loss, schedule, checkpoint=checkpoint, progress=progress, device=device)
    clip: CLIPModel = module.clip
    return clip


def clip_loss(module: _Training, pictures: Tensor, ids: Tensor) -> Tensor:
    """Picture against caption in both directions, and first photographs against second ones."""
    clip = module.clip
    pooled = clip.vision_model(pictures).pooler_output
    image = F.normalize(clip.visual_projection(pooled).float(), dim=-1)
    text = F.normalize(clip.text_projection(clip.text_model(ids).pooler_output).float(), dim=-1)
    person = F.normalize(module.person(pooled).float(), dim=-1)
    first, second = person.chunk(2)
    scale = clip.logit_scale.clamp(max=4.6).exp()
    return _contrast(image @ text.T * scale) + _contrast(first @ second.T * module.person_scale.exp())


def _contrast(logits: Tensor) -> Tensor:
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class _Pairs:
    """Draws persons, and two different photographs of each."""

    def __init__(self, data: TrainingSet) -> None:
        order = np.argsort(data.identities, kind="stable")
        _, start, count = np.unique(data.identities[order], return_index=True, return_counts=True)
        several = count > 1
        self.order = torch.from_numpy(order)
        self.start, self.count = torch.from_numpy(start[several]), torch.from_numpy(count[several])

    def draw(self, persons: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows (first photographs, then second ones) and whether each is mirrored; both len 2 * persons."""
        who = torch.randperm(len(self.start), generator=generator)[:persons]
        first = (torch.rand(len(who), generator=generator) * self.count[who]).long()
        step = 1 + (torch.rand(len(who), generator=generator) * (self.count[who] - 1)).long()
        second = (first + step) % self.count[who]
        rows = self.order[torch.cat([self.start[who] + first, self.start[who] + second])]
        return rows, torch.rand(len(rows), generator=generator) < 0.5


def _pictures(data: TrainingSet, rows: Tensor, mirrored: Tensor) -> Tensor:
    pictures = as_tensor(data.pixels[rows.numpy()])
    return torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)
