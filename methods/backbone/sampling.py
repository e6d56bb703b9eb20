"""From sentences and seeds to latents, and from latents to pixels, by the stock pipelines."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.backbone.memory_options import compiling, drawing
from methods.backbone.spec import BackboneSpec


@dataclass(frozen=True)
class Rows:
    """One batch to be drawn."""

    prompts: Sequence[str]
    seeds: Sequence[int]
    resolution: int
    further: Mapping[str, Any]
    """More arguments for the pipeline."""


def denoise(pipe: Any, spec: BackboneSpec, compiled: Any, rows: Rows) -> Tensor:
    """Latents of a batch, (B, C, h, w), scaled; the pipeline's scheduler is as it was afterwards."""
    scheduler = pipe.scheduler
    try:
        with drawing(pipe, spec, compiled):
            if compiled is None:
                return _called(pipe, spec, scheduler, rows)
            return compiling(lambda: _called(pipe, spec, scheduler, rows))
    finally:
        pipe.scheduler = scheduler


def _called(pipe: Any, spec: BackboneSpec, scheduler: Any, rows: Rows) -> Tensor:
    # A copy: schedulers keep their last run's state.
    pipe.scheduler = copy.deepcopy(scheduler)
    latents: Tensor = pipe(
        list(rows.prompts),
        height=rows.resolution,
        width=rows.resolution,
        num_inference_steps=spec.steps,
        guidance_scale=spec.guidance,
        # None, and not the empty sentence: SDXL was trained with zeros in its place.
        negative_prompt=[spec.negative_prompt] * len(rows.prompts) if spec.negative_prompt else None,
        generator=[torch.Generator().manual_seed(seed) for seed in rows.seeds],
        output_type="latent",
        **rows.further,
    ).images
    return latents


@torch.no_grad()
def decode(pipe: Any, latents: Tensor) -> NDArray[np.floating]:
    """N x H x W x 3 in 0..1; NaN in all of a picture whose latents or pixels were not finite."""
    vae = pipe.vae
    # Divided before the cast, as the pipelines do it.
    pixels = vae.decode((latents / vae.config.scaling_factor).to(vae.dtype), return_dict=False)[0]
    whole = pixels.isfinite().flatten(1).all(dim=1) & latents.isfinite().flatten(1).all(dim=1)
    shown: NDArray[np.floating] = pipe.image_processor.postprocess(pixels, output_type="np")
    shown[~whole.cpu().numpy()] = np.nan
    # Under offload the decoder, which was called without the pipeline, would stay on the GPU.
    pipe.maybe_free_model_hooks()
    return shown
