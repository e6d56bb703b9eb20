"""Trains the decoder of the tiny Stable Diffusion further, for sharper images from the same latents."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL

from methods.errors import MethodError
from methods.pretraining.loop import Schedule
from methods.recipes.model_card import ModelCard
from methods.recipes.pipeline_folder import unet_pipeline
from methods.recipes.tiny_sd import reconstruction_psnr
from methods.recipes.workspace import TrainingWorkspace, emptied, require_network
from methods.tiny_sd.autoencoder import sharpening_loss, train_decoder
from methods.tiny_sd.encoded_set import cached_latents

SHARP_AUTOENCODER: Final = "sharp-autoencoder"
"""Folder of the autoencoder with this decoder, in the folder of the checkpoints."""


def make_sharp_decoder(workspace: TrainingWorkspace, schedule: Schedule, *, command: str) -> Path:
    """Train the decoder of the U-Net's pipeline further; write `<checkpoints>/sharp-autoencoder`.

    With `workspace.start`, it continues from the decoder there. The encoder stays as it is, so networks
    trained on the latents remain valid. `command` is the command line for the model card.
    """
    checkpoint = workspace.checkpoints / "sharp-decoder.pt"
    autoencoder = AutoencoderKL.from_pretrained(unet_pipeline(workspace.weights) / "vae")
    if workspace.start:
        autoencoder = _sharper(workspace.start / SHARP_AUTOENCODER, autoencoder)
    autoencoder.to(workspace.device)
    before = reconstruction_psnr(autoencoder, workspace)
    train_decoder(
        autoencoder,
        np.asarray(workspace.data.pixels),
        lambda: cached_latents(workspace.data, autoencoder, workspace.device, workspace.checkpoints),
        loss=sharpening_loss,
        schedule=schedule,
        checkpoint=checkpoint,
        device=workspace.device,
        progress=workspace.progress,
    )
    folder = emptied(workspace.checkpoints / SHARP_AUTOENCODER)
    autoencoder.save_pretrained(folder)
    ModelCard(
        "Autoencoder with a sharper decoder",
        command,
        "The autoencoder of the tiny Stable Diffusion. Its decoder alone was trained further, by a loss that "
        "stresses small errors. Latents are unchanged. No network of the evaluation took part.",
        workspace.training_summary(schedule, checkpoint),
        {"PSNR in dB": reconstruction_psnr(autoencoder, workspace), "PSNR in dB before": before},
    ).write(folder / "CARD.md")
    return folder


def sharpest_autoencoder(workspace: TrainingWorkspace, autoencoder: AutoencoderKL) -> AutoencoderKL:
    """`autoencoder` with the decoder trained here, or unchanged if there is none; may raise MethodError."""
    places = [workspace.checkpoints, *([workspace.start] if workspace.start else [])]
    folder = next(
        (place / SHARP_AUTOENCODER for place in places if (place / SHARP_AUTOENCODER).is_dir()), None
    )
    return autoencoder if folder is None else _sharper(folder, autoencoder)


def _sharper(folder: Path, autoencoder: AutoencoderKL) -> AutoencoderKL:
    """The autoencoder in `folder`; raises MethodError if it has another encoder than `autoencoder`."""
    sharp = AutoencoderKL.from_pretrained(require_network(folder, "decoder"))
    for part in ("encoder", "quant_conv"):
        ours, theirs = (getattr(network, part).state_dict() for network in (sharp, autoencoder))
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[name], theirs[name]) for name in ours):
            raise MethodError(
                f"{folder}: its {part} is not that of the pipeline, so its latents differ; delete it, or "
                "train the decoder again"
            )
    return sharp
