"""Trains the transformer of the tiny Stable Diffusion 3 and writes its pipeline with a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from methods.backbone.spec import EMBEDDED_FLOW
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.loop import PeriodicEvaluation, Schedule, optimize
from methods.recipes.model_card import ModelCard
from methods.recipes.pipeline_folder import save_stable_diffusion_3, unet_pipeline
from methods.recipes.tiny_decoder import sharpest_autoencoder
from methods.recipes.tiny_sd import reconstruction_psnr
from methods.recipes.workspace import TrainingWorkspace, emptied, require_network
from methods.tiny_sd.attribute_tokens import ATTRIBUTES_FILE
from methods.tiny_sd.encoded_set import FrozenParts
from methods.tiny_sd.transformer import (
    CAPTION_LENGTH,
    flow_loss,
    initial_transformer,
    velocity_error,
)

SUMMARY: Final = (
    "A complete pipeline in diffusers' layout at 64 px: the autoencoder and the text encoder of the tiny "
    "Stable Diffusion, and a transformer trained from scratch on rendered people by rectified flow. It "
    "generates images of such people only. In training, tokens with the renderer's parameters of the person "
    "were often appended to the caption. The pipeline does not contain them. It has no T5: load it by "
    "`StableDiffusion3Pipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)`. Called with "
    "`max_sequence_length=0` it is four times as fast as by default, where 256 zeros stand for T5's tokens."
)
EVALUATE_EVERY: Final = 500
"""Steps between two measurements of the error on unseen people."""


def make_flow_backbone(workspace: TrainingWorkspace, schedule: Schedule, *, command: str) -> Path:
    """Train the transformer; write `<weights>/embedded-flow`, a complete Stable Diffusion 3 pipeline.

    Autoencoder, text encoder and tokenizer are those of the U-Net's pipeline; if `make_sharp_decoder` has
    trained a decoder in the folder of the checkpoints, the pipeline gets that one. Processes started by
    `accelerate launch` share each batch. `command` is the command line for the card.
    """
    checkpoint = workspace.checkpoints / "transformer.pt"
    parts = frozen_parts(workspace)
    start = workspace.start and SD3Transformer2DModel.from_pretrained(
        require_network(workspace.start / "transformer", "backbone")
    )
    transformer, attributes = initial_transformer(workspace.data, parts, seed=schedule.seed, start=start)
    attributes_file = f"transformer-{ATTRIBUTES_FILE}"
    if workspace.start and (workspace.start / attributes_file).exists():
        attributes.resume(workspace.start / attributes_file)

    def error() -> float:
        return velocity_error(transformer, parts, workspace.unseen, device=workspace.device)

    optimize(
        nn.ModuleList([transformer, attributes]).to(workspace.device),
        flow_loss(
            transformer,
            attributes,
            workspace.data,
            parts,
            schedule,
            device=workspace.device,
            work=workspace.checkpoints,
        ),
        schedule,
        checkpoint=TrainingCheckpoint(checkpoint),
        progress=workspace.progress,
        device=workspace.device,
        evaluation=PeriodicEvaluation(EVALUATE_EVERY, lambda: {"unseen": error()}),
    )
    folder = workspace.weights / EMBEDDED_FLOW
    if DistributedGroup.current().is_main:
        attributes.save(workspace.checkpoints / attributes_file)
        transformer.save_pretrained(emptied(workspace.checkpoints / "transformer"))
        card = ModelCard(
            "Tiny Stable Diffusion 3",
            command,
            SUMMARY,
            workspace.training_summary(schedule, checkpoint),
            {
                "velocity error": error(),
                "autoencoder's PSNR in dB": reconstruction_psnr(parts.autoencoder, workspace),
            },
        )
        save_stable_diffusion_3(emptied(folder), parts, transformer)
        card.write(folder / "CARD.md")
    DistributedGroup.current().wait()
    return folder


def frozen_parts(workspace: TrainingWorkspace) -> FrozenParts:
    """The parts of the U-Net's pipeline, with the sharper decoder if that has been trained."""
    folder = unet_pipeline(workspace.weights)
    return FrozenParts(
        sharpest_autoencoder(workspace, AutoencoderKL.from_pretrained(folder / "vae")),
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        CLIPTokenizer.from_pretrained(folder / "tokenizer", model_max_length=CAPTION_LENGTH),
    )
