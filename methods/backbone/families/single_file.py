"""Detect the family of a single-file checkpoint from its header, and check what the file contains."""

from __future__ import annotations

import math
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
    "joint_blocks.0.x_block.attn.qkv.weight": "sd3",
    "double_blocks.0.img_mod.lin.weight": "flux",
}
"""Tensor names that occur in only one family; of a transformer without the prefix."""
PREFIX: Final = "model.diffusion_model."
"""Begins the names of the network that predicts, where a file contains other networks, too."""
STORED_TYPES: Final = ("F32", "F16", "BF16")

EXAMPLE_CONFIGS: Final[dict[Family, str]] = {
    "sd1": "stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    "sd2": "a folder of SD 2.x of the same prediction type",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0@462165984030d82259a11f4367a4eed129e94a7b",
    "sd3": "the folder of SD 3.5 medium for sd3.5_medium.safetensors",
    "flux": "the folder of FLUX.1 dev for flux1-dev.safetensors",
}
PIPELINE_FAMILIES: Final[dict[str, Family]] = {
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "FluxPipeline": "flux",
    "FluxKontextPipeline": "flux",
}


def checkpoint_family(file: Path) -> Family:
    """Return the family of a single file, by the names of its text encoders or its transformer."""
    names = {name.removeprefix(PREFIX) for name in tensor_names(file)}
    for name, family in MARKER_TENSORS.items():
        if name in names:
            return family
    raise MethodError(
        f"{file}: neither a checkpoint of SD 1, SD 2, SDXL, SD 3 nor FLUX.1 under the original names; of the "
        "first three give a whole checkpoint, not a U-Net or a LoRA alone"
    )


def config_family(pipeline: str, config: Mapping[str, Any]) -> str:
    """Return the family of a folder of configs: its pipeline's class name and the config of its network."""
    if pipeline != "StableDiffusionPipeline":
        return PIPELINE_FAMILIES.get(pipeline, pipeline)
    return "sd2" if config.get("use_linear_projection") else "sd1"


def check_transformer(file: Path, elements: int) -> None:
    """Raise MethodError unless the file's transformer has this many weights, of 16 or 32 bits.

    diffusers drops tensors that it does not know without a word, such as the scales of an 8-bit file.
    """
    found = 0
    with safe_open(file, framework="np") as stream:
        names = set(stream.keys())
        prefix = PREFIX if any(name.startswith(PREFIX) for name in names) else ""
        for name in (name for name in names if name.startswith(prefix)):
            tensor = stream.get_slice(name)
            if tensor.get_dtype() not in STORED_TYPES:
                raise MethodError(
                    f"{file}: {name} is of type {tensor.get_dtype()}; expected weights of 16 or 32 bits, as "
                    "the model's publisher has them"
                )
            found += math.prod(tensor.get_shape())
    if found != elements:
        raise MethodError(
            f"{file}: the transformer has {found:,} weights, but that of config has {elements:,}; expected "
            "the file and the config of one model"
        )


def tensor_names(file: Path) -> set[str]:
    """Return the names of a safetensors file's tensors."""
    try:
        with safe_open(file, framework="np") as stream:
            return set(stream.keys())
    except (OSError, SafetensorError) as error:
        raise MethodError(f"{file}: not a complete safetensors file ({error}); get it again") from error
