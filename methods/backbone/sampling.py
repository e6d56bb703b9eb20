"""Sample latents from prompts and seeds with diffusers' pipelines."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from methods.backbone.families.interface import Denoiser, SamplingBatch
from methods.backbone.families.text_features import PromptCache
from methods.backbone.memory_options import memory_options_on, run_compiled
from methods.backbone.spec import BackboneSpec

Before = Callable[[Sequence[int]], Mapping[str, Any]]
"""Called before each batch with its row numbers; returns additional arguments for the pipeline."""


def padded_batches(
    prompts: Sequence[str], seeds: Sequence[int], resolution: int, size: int, before: Before | None
) -> Iterator[tuple[int, SamplingBatch]]:
    """Yield batches of exactly `size` rows, each with the number of rows that are not padding."""
    for start in range(0, len(prompts), size):
        rows = list(range(start, min(start + size, len(prompts))))
        padded = rows + [rows[-1]] * (size - len(rows))
        arguments = before(padded) if before else {}
        batch = SamplingBatch(
            [prompts[row] for row in padded], [seeds[row] for row in padded], resolution, arguments
        )
        yield len(rows), batch


def denoise(
    denoiser: Denoiser, spec: BackboneSpec, compiled: Any, batch: SamplingBatch, cache: PromptCache
) -> Tensor:
    """Sample the latents of a batch, (B, C, h, w), scaled; the pipeline's scheduler is restored.

    Encoded prompts are kept in `cache`, except for families whose pipeline encodes them.
    """
    pipe = denoiser.pipe
    scheduler = pipe.scheduler
    arguments = denoiser.sampling_arguments(spec, batch)
    if denoiser.prompt_embeds:
        arguments = _encoded(arguments, denoiser, spec, cache)
    try:
        with memory_options_on(denoiser, spec, compiled):
            if compiled is None:
                return _run_pipeline(denoiser, spec, scheduler, batch, arguments)
            return run_compiled(lambda: _run_pipeline(denoiser, spec, scheduler, batch, arguments))
    finally:
        pipe.scheduler = scheduler


def _encoded(
    arguments: Mapping[str, Any], denoiser: Denoiser, spec: BackboneSpec, cache: PromptCache
) -> dict[str, Any]:
    """The pipeline's arguments with encoded prompts in the place of texts."""
    others = dict(arguments)
    for kind, prefix in (("prompt", ""), ("negative_prompt", "negative_")):
        if kind in arguments:
            encode = partial(denoiser.encode_prompts, spec=spec, negative=kind == "negative_prompt")
            with torch.no_grad():
                tensors = cache.encoded(kind, others.pop(kind), encode)
            names = [prefix + name for name in denoiser.prompt_embeds]
            others |= {name: tensor.to(denoiser.device) for name, tensor in zip(names, tensors, strict=True)}
    return others


def _run_pipeline(
    denoiser: Denoiser,
    spec: BackboneSpec,
    scheduler: Any,
    batch: SamplingBatch,
    arguments: Mapping[str, Any],
) -> Tensor:
    # A copy, because schedulers keep the state of their last run.
    denoiser.pipe.scheduler = copy.deepcopy(scheduler)
    latents: Tensor = denoiser.pipe(
        **arguments,
        height=batch.resolution,
        width=batch.resolution,
        num_inference_steps=spec.steps,
        generator=[torch.Generator().manual_seed(seed) for seed in batch.seeds],
        output_type="latent",
        **batch.arguments,
    ).images
    return denoiser.unpacked(latents, batch.resolution)
