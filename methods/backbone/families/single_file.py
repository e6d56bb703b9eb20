"""Detect the family of a single-file checkpoint from its header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from methods.backbone.spec import Family
from methods.errors import MethodError

MARKER_TENSORS: Final[dict[str, Family]] = {
    "conditioner.embedders.1.model.positional_embedding": "sdxl",
    "cond_stage_model.model.positional_embedding": "sd2",
    "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": "sd1",
}
"""Tensor names that occur in only one family."""

EXAMPLE_CONFIGS: Final[dict[Family, str]] = {
    "sd1": "stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    "sd2": "a folder of SD 2.x of the same prediction type",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0@462165984030d82259a11f4367a4eed129e94a7b",
}


def checkpoint_family(file: Path) -> Family:
    """Return the family of a single file, by the names of its text encoders."""
    names = tensor_names(file)
    for name, family in MARKER_TENSORS.items():
        if name in names:
            return family
    raise MethodError(
        f"{file}: neither an SD 1, an SD 2 nor an SDXL checkpoint under the original names; "
        "give a whole checkpoint, not a U-Net or a LoRA alone"
    )


def config_family(pipeline: str, config: Mapping[str, Any]) -> str:
    """Return the family of a folder of configs: its pipeline's class name and the config of its network."""
    if pipeline == "StableDiffusionXLPipeline":
        return "sdxl"
    if pipeline != "StableDiffusionPipeline":
        return pipeline
    return "sd2" if config.get("use_linear_projection") else "sd1"


def tensor_names(file: Path) -> set[str]:
    """Return the names of a safetensors file's tensors."""
    try:
        with safe_open(file, framework="np") as stream:
            return set(stream.keys())
    except (OSError, SafetensorError) as error:
        raise MethodError(f"{file}: not a complete safetensors file ({error}); get it again") from error
