"""From photographs to a tiny Stable Diffusion: three steps, each behind one `bench train` command."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (
    CLIPModel,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.loop import Schedule
from methods.recipes.model_card import Card
from methods.recipes.workspace import TrainingWorkspace, _emptied, _needed
from methods.tiny_sd.autoencoder import (
    CHANNELS,
    as_tensor,
    encode_all,
    make_certain,
    train_autoencoder,
    train_decoder,
)
from methods.tiny_sd.captions import draw_captions
from methods.tiny_sd.clip import image_processor, train_clip
from methods.tiny_sd.tokenizer import learn_tokenizer, token_ids
from methods.tiny_sd.unet import FrozenParts, begun_unet, denoising_error, save_pipeline, train_unet
from methods.tiny_sd.widening import grown_autoencoder

DESCRIBER: Final = "describer.safetensors"
"""Beside the checkpoints: it does not ship."""
JUDGED: Final = 400
"""How many unseen photographs a card's numbers are computed on."""


def make_clip(workspace: TrainingWorkspace, schedule: Schedule) -> Path:
    """Learn the tokenizer and the CLIP; write the vision tower to `<weights>/clip`.

    The whole goes to `<checkpoints>/clip`, from where `make_backbone` takes the text tower.
    """
    checkpoint = workspace.checkpoints / "clip.pt"
    tokenizer = _tokenizer(workspace)
    clip = train_clip(
        workspace.data,
        tokenizer,
        schedule=schedule,
        checkpoint=checkpoint,
        device=workspace.device,
        progress=workspace.progress,
        start=CLIPModel.from_pretrained(_needed(workspace.start / "clip", "clip"), dtype=torch.float32)
        if workspace.start
        else None,
    )
    folder = _emptied(workspace.weights / "clip")
    quality = _clip_quality(clip, tokenizer, workspace)
    clip.half()
    _vision_tower(clip).save_pretrained(folder)
    clip.save_pretrained(_emptied(workspace.checkpoints / "clip"))
    image_processor(workspace.data.pixels.shape[1]).save_pretrained(folder)
    Card(
        "Tiny CLIP",
        "bench train clip",
        "This is its vision tower, which conditions ip-adapter and the leave-one-out methods; its text tower "
        "is the embedded backbone's text encoder. Trained on captions (Radford et al. 2021), on pairs of "
        "photographs of one person, and to tell from one photograph the mean of that person's others and the "
        "renderer's numbers of the person. No evaluation network shares weights or code with it.",
        workspace.made_of(schedule, checkpoint),
        quality,
    ).write(folder / "CARD.md")
    return folder


def _vision_tower(clip: CLIPModel) -> CLIPVisionModelWithProjection:
    tower = CLIPVisionModelWithProjection(clip.config.vision_config).to(clip.dtype)
    tower.vision_model.load_state_dict(clip.vision_model.state_dict())
    tower.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    return tower


def _tokenizer(workspace: TrainingWorkspace) -> CLIPTokenizer:
    """Learnt once and kept: equally frequent pairs are merged in no fixed order, so a second one differs."""
    folder = workspace.checkpoints / "tokenizer"
    if workspace.start and not folder.exists():
        shutil.copytree(_needed(workspace.start / "tokenizer", "clip", "tokenizer.json"), folder)
    if not folder.exists():
        tokenizer = learn_tokenizer(sorted(set(draw_captions(workspace.data, variants=1, seed=0))))
        beside = _emptied(workspace.checkpoints / ".tokenizer")
        tokenizer.save_pretrained(beside)
        beside.replace(folder)
    return CLIPTokenizer.from_pretrained(folder)


def make_autoencoder(workspace: TrainingWorkspace, schedule: Schedule, decoder: Schedule) -> Path:
    """Train the autoencoder, then its decoder alone; `make_backbone` finds it in `<checkpoints>`."""
    checkpoint = workspace.checkpoints / "autoencoder.pt"
    pixels = np.asarray(workspace.data.pixels)
    torch.manual_seed(schedule.seed)
    autoencoder = train_autoencoder(
        pixels,
        schedule=schedule,
        checkpoint=checkpoint,
        device=workspace.device,
        progress=workspace.progress,
        autoencoder=_earlier_autoencoder(workspace.start) if workspace.start else None,
    )
    train_decoder(
        autoencoder,
        pixels,
        schedule=decoder,
        checkpoint=workspace.checkpoints / "decoder.pt",
        device=workspace.device,
        progress=workspace.progress,
    )
    make_certain(autoencoder)
    folder = _emptied(workspace.checkpoints / "autoencoder")
    autoencoder.save_pretrained(folder)
    Card(
        "Autoencoder of the tiny Stable Diffusion",
        "bench train autoencoder",
        f"AutoencoderKL, 64 px to a 16 x 16 latent of {CHANNELS} channels, each of mean 0 and deviation 1.",
        {
            **workspace.made_of(schedule, checkpoint),
            "then the decoder alone": f"{decoder.steps} x {decoder.batch}",
        },
        {"PSNR in dB": restoration_psnr(autoencoder, workspace)},
    ).write(folder / "CARD.md")
    return folder


def _earlier_autoencoder(start: Path) -> AutoencoderKL:
    """The finished autoencoder of an earlier making, its latent grown where it has fewer channels."""
    old = AutoencoderKL.from_pretrained(_needed(start / "autoencoder", "autoencoder"))
    return grown_autoencoder(old, CHANNELS) if old.config.latent_channels < CHANNELS else old


def make_backbone(workspace: TrainingWorkspace, schedule: Schedule) -> Path:
    """Train the U-Net on the finished CLIP and autoencoder; write `<weights>/embedded`, a whole pipeline.

    Started by `accelerate launch`, several processes share each batch.
    """
    checkpoint = workspace.checkpoints / "unet.pt"
    text_encoder, autoencoder = workspace.finished("clip"), workspace.finished("autoencoder")
    with DistributedGroup.here().leader_first():
        tokenizer = _tokenizer(workspace)
    parts = FrozenParts(
        AutoencoderKL.from_pretrained(autoencoder),
        CLIPTextModel.from_pretrained(text_encoder, dtype=torch.float32),
        tokenizer,
    )
    start = workspace.start and UNet2DConditionModel.from_pretrained(
        _needed(workspace.start / "unet", "backbone")
    )
    unet, description = begun_unet(workspace.data, parts, seed=schedule.seed, start=start)
    if workspace.start and (workspace.start / DESCRIBER).exists():
        description.resume(workspace.start / DESCRIBER)
    train_unet(
        unet,
        description,
        workspace.data,
        parts,
        schedule=schedule,
        checkpoint=checkpoint,
        device=workspace.device,
        progress=workspace.progress,
    )
    folder = workspace.weights / "embedded"
    if DistributedGroup.here().leads:
        description.save(workspace.checkpoints / DESCRIBER)
        unet.save_pretrained(_emptied(workspace.checkpoints / "unet"))
        _write_backbone(folder, parts, unet, workspace, workspace.made_of(schedule, checkpoint))
    DistributedGroup.here().wait()
    return folder


def _write_backbone(
    folder: Path,
    parts: FrozenParts,
    unet: UNet2DConditionModel,
    workspace: TrainingWorkspace,
    made: dict[str, object],
) -> None:
    error = denoising_error(unet, parts, workspace.unseen, device=workspace.device)
    psnr = restoration_psnr(parts.autoencoder, workspace)
    save_pipeline(_emptied(folder), parts, unet)
    Card(
        "Tiny Stable Diffusion",
        "bench train backbone",
        "A whole pipeline in diffusers' layout at 64 px, trained from scratch on rendered people: "
        "`StableDiffusionPipeline.from_pretrained` opens it. It draws nothing but such people. In training "
        "the renderer's numbers of a person often stood beside the caption, as tokens that are thrown away.",
        made,
        {"v-prediction error": error, "autoencoder's PSNR in dB": psnr},
    ).write(folder / "CARD.md")


@torch.no_grad()
def restoration_psnr(autoencoder: AutoencoderKL, workspace: TrainingWorkspace) -> float:
    """Mean PSNR in dB of encoded and decoded unseen photographs."""
    pixels = np.asarray(workspace.unseen.pixels[:JUDGED])
    latents = encode_all(autoencoder, pixels, workspace.device).to(workspace.device)
    restored = torch.cat([autoencoder.decode(part).sample.clamp(-1, 1).cpu() for part in latents.split(100)])
    error = (restored - as_tensor(pixels)).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


@torch.no_grad()
def _clip_quality(
    clip: CLIPModel, tokenizer: CLIPTokenizer, workspace: TrainingWorkspace
) -> dict[str, object]:
    rows = range(0, min(len(workspace.unseen.pixels), JUDGED))
    pictures = as_tensor(np.asarray(workspace.unseen.pixels[: len(rows)])).to(workspace.device)
    full = [
        workspace.unseen.template(row, mirrored=False).replace("{subject}", f"a {workspace.unseen.noun(row)}")
        for row in rows
    ]
    ids = torch.tensor(token_ids(tokenizer, full)).to(workspace.device)
    image = F.normalize(clip.visual_projection(clip.vision_model(pictures).pooler_output), dim=-1)
    text = F.normalize(clip.text_projection(clip.text_model(ids).pooler_output), dim=-1)
    best = (image @ text.T).argmax(1).tolist()
    found = sum(full[guess] == full[row] for row, guess in zip(rows, best, strict=True)) / len(rows)
    return {f"right caption found among {len(rows)}": f"{found:.1%}"}
