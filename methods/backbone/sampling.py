"""Sample latents from prompts and seeds with diffusers' pipelines, and decode them to pixels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods.backbone.memory_options import memory_options_on, run_compiled
from methods.backbone.spec import BackboneSpec
from methods.backbone.text_encoding import family_of, text_features


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
    skipped = spec.clip_skip is not None and family_of(pipe) != "sdxl"
    latents: Tensor = pipe(
        **(_skipped(pipe, spec, batch) if skipped else _prompts(spec, batch)),
        height=batch.resolution,
        width=batch.resolution,
        num_inference_steps=spec.steps,
        guidance_scale=spec.guidance,
        generator=[torch.Generator().manual_seed(seed) for seed in batch.seeds],
        output_type="latent",
        guidance_rescale=spec.guidance_rescale,
        **batch.arguments,
    ).images
    return latents


def _prompts(spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
    # None instead of an empty prompt: SDXL was trained with zeros in its place.
    negative = [spec.negative_prompt] * len(batch.prompts) if spec.negative_prompt else None
    return {"prompt": list(batch.prompts), "negative_prompt": negative, "clip_skip": spec.clip_skip}


def _skipped(pipe: Any, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
    """The features of the prompts without the last layers, and plain ones of the negative prompt.

    The pipeline of SD 1 and 2 looks for a module that newer text encoders do not have.
    """
    with torch.no_grad():
        device = pipe._execution_device
        prompts = text_features(pipe, batch.prompts, device, clip_skip=spec.clip_skip).tokens
        negative = text_features(pipe, [spec.negative_prompt] * len(batch.prompts), device).tokens
    return {"prompt_embeds": prompts, "negative_prompt_embeds": negative}
