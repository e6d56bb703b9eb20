"""The tiny CLIP: text encoder of the backbone, image encoder of ip-adapter and leave-one-out."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Progress, Schedule, optimize_whole_batches
from methods.tiny_sd.captions import caption_bank
from methods.tiny_sd.contrastive_pairs import PhotoPairs, contrastive_loss
from methods.tiny_sd.identity_losses import IdentityLosses
from methods.tiny_sd.tokenizer import MAX_LENGTH

SCHEDULE = Schedule(
    steps=3_600, batch=128, learning_rate=1e-3, warm_up=100, decay_from=0.2, weight_decay=0.05
)
CONTINUED_SCHEDULE = Schedule(
    steps=1_500, batch=128, learning_rate=1e-3, warm_up=60, decay_from=0.2, weight_decay=0.05
)
"""For training that starts from a finished network."""

EMBEDDING = 128
"""Width of the joint embedding space of images and captions."""
IDENTITY_LOSS_WEIGHT = 2.0
"""Weight of `IdentityLosses` relative to the contrastive losses."""


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
    """Scales pixels to -1..1 at the vision tower's size."""
    return CLIPImageProcessor(
        size={"height": size, "width": size},
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


class _CLIPWithHeads(nn.Module):
    """CLIP with additional heads on the vision tower, used in training only."""

    def __init__(self, clip: CLIPModel, data: TrainingSet) -> None:
        super().__init__()
        vision = clip.config.vision_config
        self.clip = clip
        self.person_head = nn.Linear(vision.hidden_size, 128)
        self.person_scale = nn.Parameter(torch.tensor(2.3))
        self.identity_losses = IdentityLosses(data, width=vision.hidden_size, patch=vision.patch_size)


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
    """Train on captions (Radford et al. 2021), on pairs of photographs, and on `IdentityLosses`.

    With `start`, a finished network, only the vision tower is trained, because a backbone may use the text
    tower.

    Captions do not describe the shape of a face. The second term makes the vision tower keep what photographs
    of one person share. It has its own head, so captions and persons do not compete for one vector. The third
    makes the patch tokens encode the person's appearance.
    """
    torch.manual_seed(schedule.seed)
    module = _CLIPWithHeads(start or new_clip(tokenizer, size=data.pixels.shape[1]), data).to(device)
    if start is not None:
        for tower in (start.text_model, start.text_projection):
            tower.requires_grad_(False)
    captions = caption_bank(data, tokenizer, seed=schedule.seed)
    pairs = PhotoPairs(data)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows, mirrored = pairs.sample(schedule.batch // 2, generator)
        images = pairs.images(rows, mirrored).to(device)
        ids = captions.sample(rows, mirrored, generator).to(device)
        output = module.clip.vision_model(images, output_hidden_states=True)
        contrastive = clip_loss(module, output.pooler_output, ids)
        identity: Tensor = module.identity_losses(output.hidden_states[-2], rows, mirrored)
        return contrastive + IDENTITY_LOSS_WEIGHT * identity

    optimize_whole_batches(module, loss, schedule, checkpoint=checkpoint, progress=progress, device=device)
    clip: CLIPModel = module.clip
    return clip


def clip_loss(module: _CLIPWithHeads, pooled: Tensor, ids: Tensor) -> Tensor:
    """Contrastive losses: image against caption, and first against second photographs of a person."""
    clip = module.clip
    image = F.normalize(clip.visual_projection(pooled).float(), dim=-1)
    text = F.normalize(clip.text_projection(clip.text_model(ids).pooler_output).float(), dim=-1)
    person = F.normalize(module.person_head(pooled).float(), dim=-1)
    first, second = person.chunk(2)
    scale = clip.logit_scale.clamp(max=4.6).exp()
    persons = contrastive_loss(first @ second.T * module.person_scale.exp())
    return contrastive_loss(image @ text.T * scale) + persons
