"""Sample latents from prompts and seeds with diffusers' pipelines, and decode them to pixels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.backbone.memory_options import memory_options_on, run_compiled
from methods.backbone.spec import BackboneSpec


@dataclass(frozen=True)
class SamplingBatch:
    """Input of one call of the pipeline."""

    prompts: Sequence[str]
    seeds: Sequence[int]
    resolution: int
    arguments: Mapping[str, Any]
    """Additional arguments for the pipeline."""


def denoise(pipe: Any, spec: BackboneSpec, compiled: Any, batch: SamplingBatch) -> Tensor:
    """Sample the latents of a batch, (B, C, h, w), scaled; the pipeline's scheduler is restored."""
    scheduler = pipe.scheduler
    try:
        with memory_options_on(pipe, spec, compiled):
            if compiled is None:
                return _run_pipeline(pipe, spec, scheduler, batch)
            return run_compiled(lambda: _run_pipeline(pipe, spec, scheduler, batch))
    finally:
        pipe.scheduler = scheduler


def _run_pipeline(pipe: Any, spec: BackboneSpec, scheduler: Any, batch: SamplingBatch) -> Tensor:
    # A copy, because schedulers keep the state of their last run.
    pipe.scheduler = copy.deepcopy(scheduler)
    latents: Tensor = pipe(
        list(batch.prompts),
        height=batch.resolution,
        width=batch.resolution,
        num_inference_steps=spec.steps,
        guidance_scale=spec.guidance,
        # None instead of an empty prompt: SDXL was trained with zeros in its place.
        negative_prompt=[spec.negative_prompt] * len(batch.prompts) if spec.negative_prompt else None,
        generator=[torch.Generator().manual_seed(seed) for seed in batch.seeds],
        output_type="latent",
        **batch.arguments,
    ).images
    return latents


@torch.no_grad()
def decode(pipe: Any, latents: Tensor) -> NDArray[np.floating]:
    """Decode to N x H x W x 3 in [0, 1]; an image with non-finite latents or pixels is all NaN."""
    vae = pipe.vae
    # Divided before the cast, as in the pipelines.
    pixels = vae.decode((latents / vae.config.scaling_factor).to(vae.dtype), return_dict=False)[0]
    finite = pixels.isfinite().flatten(1).all(dim=1) & latents.isfinite().flatten(1).all(dim=1)
    images: NDArray[np.floating] = pipe.image_processor.postprocess(pixels, output_type="np")
    images[~finite.cpu().numpy()] = np.nan
    # With CPU offload, a decoder called outside the pipeline would otherwise stay on the GPU.
    pipe.maybe_free_model_hooks()
    return images
