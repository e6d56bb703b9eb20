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
