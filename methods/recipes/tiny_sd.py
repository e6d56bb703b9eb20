"""Trains the tiny Stable Diffusion in three parts (CLIP, autoencoder, U-Net) and writes their model cards."""

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

from methods.compute.atomic_io import atomic_folder
from methods.errors import MethodError
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.loop import Schedule
from methods.recipes.model_card import ModelCard
from methods.recipes.pipeline_folder import save_stable_diffusion
from methods.recipes.workspace import TrainingWorkspace, emptied, require_network
from methods.tiny_sd.attribute_tokens import ATTRIBUTES_FILE
from methods.tiny_sd.autoencoder import (
    CHANNELS,
    as_tensor,
    encode_all,
    make_deterministic,
    train_autoencoder,
    train_decoder,
)
from methods.tiny_sd.captions import plain_captions, sample_captions
from methods.tiny_sd.clip import image_processor, train_clip
from methods.tiny_sd.encoded_set import FrozenParts, cached_latents
from methods.tiny_sd.tokenizer import learn_tokenizer, token_ids
from methods.tiny_sd.unet import denoising_error, initial_unet, train_unet

EVALUATION_PHOTOS: Final = 400
"""Number of unseen photographs for the evaluation on a model card."""


def make_clip(workspace: TrainingWorkspace, schedule: Schedule, *, command: str) -> Path:
    """Train the tokenizer and the CLIP; write the vision tower to `<weights>/clip`.

    The complete CLIP is written to `<checkpoints>/clip`; `make_backbone` reads the text tower there.
    `command` is the command line for the model card.
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
        start=_earlier_clip(workspace.start) if workspace.start else None,
    )
    folder = emptied(workspace.weights / "clip")
    quality = _clip_quality(clip, tokenizer, workspace)
    clip.half()
    _vision_tower(clip).save_pretrained(folder)
    clip.save_pretrained(emptied(workspace.checkpoints / "clip"))
    image_processor(workspace.data.pixels.shape[1]).save_pretrained(folder)
    ModelCard(
        "Tiny CLIP",
        command,
        "The vision tower, which conditions ip-adapter and the leave-one-out methods. The text tower is the "
        "text encoder of the embedded backbone. Trained on captions (Radford et al. 2021) and on pairs of "
        "photographs of one person. From one photograph it also learns to predict the mean of the person's "
        "other photographs and the renderer's parameters of the person. No evaluation network shares weights "
        "or code with it.",
        workspace.training_summary(schedule, checkpoint),
        quality,
    ).write(folder / "CARD.md")
    return folder


def _earlier_clip(start: Path) -> CLIPModel:
    return CLIPModel.from_pretrained(require_network(start / "clip", "clip"), dtype=torch.float32)


def _vision_tower(clip: CLIPModel) -> CLIPVisionModelWithProjection:
    tower = CLIPVisionModelWithProjection(clip.config.vision_config).to(clip.dtype)
    tower.vision_model.load_state_dict(clip.vision_model.state_dict())
    tower.visual_projection.load_state_dict(clip.visual_projection.state_dict())
    return tower


def _tokenizer(workspace: TrainingWorkspace) -> CLIPTokenizer:
    """Trained once and stored: the order of equally frequent merges varies, so a second one would differ."""
    folder = workspace.checkpoints / "tokenizer"
    if workspace.start and not folder.exists():
        shutil.copytree(require_network(workspace.start / "tokenizer", "clip", "tokenizer.json"), folder)
    if not folder.exists():
        tokenizer = learn_tokenizer(sorted(set(sample_captions(workspace.data, variants=1, seed=0))))
        with atomic_folder(folder) as temporary:
            tokenizer.save_pretrained(temporary)
    return CLIPTokenizer.from_pretrained(folder)


def make_autoencoder(
    workspace: TrainingWorkspace, schedule: Schedule, decoder: Schedule, *, command: str
) -> Path:
    """Train the autoencoder, then its decoder alone; write it to `<checkpoints>/autoencoder`.

    `command` is the command line for the model card.
    """
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
    # First, since the name of the stored latents' file depends on it: the denoiser is trained on them too.
    make_deterministic(autoencoder)
    train_decoder(
        autoencoder,
        pixels,
        lambda: cached_latents(workspace.data, autoencoder, workspace.device, workspace.checkpoints),
        schedule=decoder,
        checkpoint=workspace.checkpoints / "decoder.pt",
        device=workspace.device,
        progress=workspace.progress,
    )
    folder = emptied(workspace.checkpoints / "autoencoder")
    autoencoder.save_pretrained(folder)
    ModelCard(
        "Autoencoder of the tiny Stable Diffusion",
        command,
        f"AutoencoderKL, 64 px to a 16 x 16 latent of {CHANNELS} channels, each of mean 0 and deviation 1.",
        {
            **workspace.training_summary(schedule, checkpoint),
            "then the decoder alone": f"{decoder.steps} x {decoder.batch}",
        },
        {"PSNR in dB": reconstruction_psnr(autoencoder, workspace)},
    ).write(folder / "CARD.md")
    return folder


def _earlier_autoencoder(start: Path) -> AutoencoderKL:
    folder = require_network(start / "autoencoder", "autoencoder")
    autoencoder = AutoencoderKL.from_pretrained(folder)
    channels = autoencoder.config.latent_channels
    if channels != CHANNELS:
        raise MethodError(f"{folder}: a latent of {channels} channels, expected {CHANNELS}; train a new one")
    return autoencoder


def make_backbone(workspace: TrainingWorkspace, schedule: Schedule, *, command: str) -> Path:
    """Train the U-Net on the finished CLIP and autoencoder; write `<weights>/embedded`, a complete pipeline.

    Processes started by `accelerate launch` share each batch. `command` is the command line for the card.
    """
    checkpoint = workspace.checkpoints / "unet.pt"
    text_encoder, autoencoder = workspace.finished("clip"), workspace.finished("autoencoder")
    with DistributedGroup.current().main_process_first():
        tokenizer = _tokenizer(workspace)
    parts = FrozenParts(
        AutoencoderKL.from_pretrained(autoencoder),
        CLIPTextModel.from_pretrained(text_encoder, dtype=torch.float32),
        tokenizer,
    )
    start = workspace.start and UNet2DConditionModel.from_pretrained(
        require_network(workspace.start / "unet", "backbone")
    )
    unet, attributes = initial_unet(workspace.data, parts, seed=schedule.seed, start=start)
    if workspace.start and (workspace.start / ATTRIBUTES_FILE).exists():
        attributes.resume(workspace.start / ATTRIBUTES_FILE)
    train_unet(
        unet,
        attributes,
        workspace.data,
        parts,
        schedule=schedule,
        checkpoint=checkpoint,
        device=workspace.device,
        progress=workspace.progress,
    )
    folder = workspace.weights / "embedded"
    if DistributedGroup.current().is_main:
        attributes.save(workspace.checkpoints / ATTRIBUTES_FILE)
        unet.save_pretrained(emptied(workspace.checkpoints / "unet"))
        summary = workspace.training_summary(schedule, checkpoint)
        _write_backbone(folder, parts, unet, workspace, summary, command)
    DistributedGroup.current().wait()
    return folder


def _write_backbone(
    folder: Path,
    parts: FrozenParts,
    unet: UNet2DConditionModel,
    workspace: TrainingWorkspace,
    summary: dict[str, object],
    command: str,
) -> None:
    error = denoising_error(unet, parts, workspace.unseen, device=workspace.device)
    psnr = reconstruction_psnr(parts.autoencoder, workspace)
    save_stable_diffusion(emptied(folder), parts, unet)
    ModelCard(
        "Tiny Stable Diffusion",
        command,
        "A complete pipeline in diffusers' layout at 64 px, trained from scratch on rendered people. "
        "`StableDiffusionPipeline.from_pretrained` loads it. It generates images of such people only. In "
        "training, tokens with the renderer's parameters of the person were often appended to the caption. "
        "The pipeline does not contain them.",
        summary,
        {"v-prediction error": error, "autoencoder's PSNR in dB": psnr},
    ).write(folder / "CARD.md")


@torch.no_grad()
def reconstruction_psnr(autoencoder: AutoencoderKL, workspace: TrainingWorkspace) -> float:
    """Mean PSNR in dB of encoded and decoded unseen photographs."""
    pixels = np.asarray(workspace.unseen.pixels[:EVALUATION_PHOTOS])
    latents = encode_all(autoencoder, pixels, workspace.device).to(workspace.device)
    restored = torch.cat([autoencoder.decode(part).sample.clamp(-1, 1).cpu() for part in latents.split(100)])
    error = (restored - as_tensor(pixels)).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


@torch.no_grad()
def _clip_quality(
    clip: CLIPModel, tokenizer: CLIPTokenizer, workspace: TrainingWorkspace
) -> dict[str, object]:
    rows = range(0, min(len(workspace.unseen.pixels), EVALUATION_PHOTOS))
    images = as_tensor(np.asarray(workspace.unseen.pixels[: len(rows)])).to(workspace.device)
    captions = plain_captions(workspace.unseen, len(rows))
    ids = torch.tensor(token_ids(tokenizer, captions)).to(workspace.device)
    image = F.normalize(clip.visual_projection(clip.vision_model(images).pooler_output), dim=-1)
    text = F.normalize(clip.text_projection(clip.text_model(ids).pooler_output), dim=-1)
    nearest = (image @ text.T).argmax(1).tolist()
    right = sum(captions[found] == captions[row] for row, found in zip(rows, nearest, strict=True))
    return {f"right caption found among {len(rows)}": f"{right / len(rows):.1%}"}
