"""Images of diffusers' own pipeline, to compare with those of a method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image
from tiny_pipelines import SIDE


def plain_pipeline(folder: Path) -> Any:
    """The pipeline of a folder of Stable Diffusion, without safety checker."""
    pipe = DiffusionPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def first_image(pipe: Any, prompt: str) -> Image:
    """The first of two images with the sampling settings and the seed, 3, of the tests."""
    image: Image = pipe(
        [prompt] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=SIDE,
        width=SIDE,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    return image
