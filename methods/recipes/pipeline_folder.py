"""Finds the U-Net's pipeline, and writes trained networks as folders that diffusers' pipelines load."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from methods.backbone.locate import locate_checkpoint
from methods.backbone.spec import EMBEDDED, BackboneSpec
from methods.compute.loading import quiet
from methods.tiny_sd.encoded_set import FrozenParts
from methods.tiny_sd.transformer import new_flow_scheduler
from methods.tiny_sd.unet import new_scheduler


def unet_pipeline(weights: Path) -> Path:
    """The folder of the U-Net's pipeline in `weights`; the one that ships if there is none."""
    folder = weights / EMBEDDED
    path = str(folder) if folder.is_dir() else EMBEDDED
    return locate_checkpoint(BackboneSpec(path=path), fetch=False).folder


def save_stable_diffusion(folder: Path, parts: FrozenParts, unet: UNet2DConditionModel) -> None:
    """Write a folder that `StableDiffusionPipeline.from_pretrained` opens; weights in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=parts.autoencoder,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    _save(folder, pipeline)


def save_stable_diffusion_3(folder: Path, parts: FrozenParts, transformer: SD3Transformer2DModel) -> None:
    """Write a folder that `StableDiffusion3Pipeline.from_pretrained` opens; weights in half precision.

    The text encoder fills both CLIP places, neither of which may be empty. T5 is absent: as for every such
    folder, diffusers must be given `text_encoder_3=None, tokenizer_3=None`.
    """
    text_encoder = with_projection(parts.text_encoder)
    pipeline = StableDiffusion3Pipeline(
        vae=parts.autoencoder,
        text_encoder=text_encoder,
        tokenizer=parts.tokenizer,
        text_encoder_2=copy.deepcopy(text_encoder),
        tokenizer_2=parts.tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
        transformer=transformer,
        scheduler=new_flow_scheduler(),
    )
    _save(folder, pipeline)
    # This pipeline adds the shift, which older autoencoders do not have.
    _rewrite(folder / "vae" / "config.json", shift_factor=0.0)


def with_projection(text_encoder: CLIPTextModel) -> CLIPTextModelWithProjection:
    """The class that Stable Diffusion 3 loads; the projection is the identity."""
    config = copy.deepcopy(text_encoder.config)
    config.projection_dim = config.hidden_size
    projected = CLIPTextModelWithProjection(config)
    projected.text_model.load_state_dict(text_encoder.state_dict())
    torch.nn.init.eye_(projected.text_projection.weight)
    return projected.to(text_encoder.dtype)


def _save(folder: Path, pipeline: Any) -> None:
    with quiet():
        pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for part in pipeline.config:
        config = folder / part / "config.json"
        if not config.exists():
            continue
        # Weights are stored in half precision but used in float32. transformers would load a text encoder in
        # the config's dtype and diffusers the other networks in float32, which is a mismatch.
        if part.startswith("text_encoder"):
            _rewrite(config, dtype="float32")
        # diffusers writes the path each part was loaded from, which is specific to this machine.
        else:
            _rewrite(config, _name_or_path=None)


def _rewrite(config: Path, **changes: str | float | None) -> None:
    """Change entries of a JSON file; None removes one."""
    removed = {name for name, value in changes.items() if value is None}
    entries = {**json.loads(config.read_text(encoding="utf-8")), **changes}
    kept = {name: value for name, value in entries.items() if name not in removed}
    config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
