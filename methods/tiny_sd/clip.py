"""The tiny CLIP: its text tower serves the backbone, its vision tower ip-adapter and leave-one-out."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Progress, Schedule, train
from methods.tiny_sd.captions import caption_bank
from methods.tiny_sd.contrastive_pairs import Pairs, contrast
from methods.tiny_sd.identity_losses import IdentityLosses
from methods.tiny_sd.tokenizer import MAX_LENGTH

SCHEDULE = Schedule(
    steps=3_600, batch=128, learning_rate=1e-3, warm_up=100, decay_from=0.2, weight_decay=0.05
)
FURTHER = Schedule(steps=1_500, batch=128, learning_rate=1e-3, warm_up=60, decay_from=0.2, weight_decay=0.05)
"""For a network to go on from."""

EMBEDDING = 128
"""Width of the space in which pictures and captions meet."""
PORTRAIT = 2.0
"""How much more the losses of `Portrait` count than those of captions and persons."""


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
    """CLIP with more heads on the vision tower, thrown away after training."""

    def __init__(self, clip: CLIPModel, data: TrainingSet) -> None:
        super().__init__()
        vision = clip.config.vision_config
        self.clip = clip
        self.person = nn.Linear(vision.hidden_size, 128)
        self.person_scale = nn.Parameter(torch.tensor(2.3))
        self.portrait = IdentityLosses(data, width=vision.hidden_size, patch=vision.patch_size)


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
    """Radford et al. 2021 on pictures and captions, the same contrast on pairs of photographs, portraits.

    From `start`, a finished network, the vision tower alone goes on: a backbone may read the text tower.

    Captions say nothing of a face's shape. The second term makes the vision tower keep what the
    photographs of one person share; it has a head of its own, so captions and persons do not
    compete for one vector. The third (`Portrait`) makes the tokens say what the person looks like.
    """
    torch.manual_seed(schedule.seed)
    module = _Training(start or new_clip(tokenizer, size=data.pixels.shape[1]), data).to(device)
    if start is not None:
        for tower in (start.text_model, start.text_projection):
            tower.requires_grad_(False)
    captions = caption_bank(data, tokenizer, seed=schedule.seed)
    pairs = Pairs(data)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows, mirrored = pairs.sample(schedule.batch // 2, generator)
        pictures = pairs.pictures(rows, mirrored).to(device)
        ids = captions.sample(rows, mirrored, generator).to(device)
        seen = module.clip.vision_model(pictures, output_hidden_states=True)
        told = clip_loss(module, seen.pooler_output, ids)
        shown: Tensor = module.portrait(seen.hidden_states[-2], rows, mirrored)
        return told + PORTRAIT * shown

    train(module, loss, schedule, checkpoint=checkpoint, progress=progress, device=device)
    clip: CLIPModel = module.clip
    return clip


def clip_loss(module: _Training, pooled: Tensor, ids: Tensor) -> Tensor:
    """Picture against caption in both directions, and first photographs against second ones."""
    clip = module.clip
    image = F.normalize(clip.visual_projection(pooled).float(), dim=-1)
    text = F.normalize(clip.text_projection(clip.text_model(ids).pooler_output).float(), dim=-1)
    person = F.normalize(module.person(pooled).float(), dim=-1)
    first, second = person.chunk(2)
    scale = clip.logit_scale.clamp(max=4.6).exp()
    return contrast(image @ text.T * scale) + contrast(first @ second.T * module.person_scale.exp())
