"""From files to a loaded pipeline: networks, schedulers and devices, each fault in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from methods.backbone.locate import PIPELINES, CheckpointLocation, networks_of
from methods.compute.loading import LOAD_FAULTS, first_line, quiet
from methods.errors import MethodError

CLASSES: Final[Mapping[str, Any]] = {
    cls.__name__: cls for cls in (StableDiffusionPipeline, StableDiffusionXLPipeline)
}

SCHEDULERS: Final[Mapping[str, tuple[Any, Mapping[str, Any]]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    # Without Karras' steps: on a cosine schedule they repeat, and diffusers then runs past their end.
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "euler": (EulerDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
}


def pipeline_of(source: CheckpointLocation, dtype: torch.dtype) -> Any:
    """The stock pipeline, in evaluation mode, all weights frozen, without a safety checker or a watermark."""
    with quiet():
        pipe = _from_folder(source, dtype) if source.single is None else _from_single_file(source, dtype)
    read, given = pipe.unet.config.in_channels, pipe.vae.config.latent_channels
    if read != given:
        raise MethodError(
            f"{source.place}: the U-Net reads {read} channels and latents have {given}; "
            "wanted is a text-to-image model, not one for inpainting or editing"
        )
    for module in networks_of(pipe).values():
        module.requires_grad_(False).eval()
    for module in (pipe.unet, pipe.vae):
        # The layout that convolutions of oneDNN and cuDNN are fastest in.
        module.to(memory_format=torch.channels_last)
    return pipe


def _from_folder(source: CheckpointLocation, dtype: torch.dtype) -> Any:
    folder, variant = source.folder, source.variant
    parts = {
        "unet": _part(folder, "unet", UNet2DConditionModel, variant=variant, torch_dtype=dtype),
        "vae": _part(folder, "vae", AutoencoderKL, variant=variant, torch_dtype=_vae_type(source, dtype)),
        "text_encoder": _part(folder, "text_encoder", CLIPTextModel, variant=variant, dtype=dtype),
    }
    if source.pipeline == "StableDiffusionXLPipeline":
        parts["text_encoder_2"] = _part(
            folder, "text_encoder_2", CLIPTextModelWithProjection, variant=variant, dtype=dtype
        )
    try:
        for name in ("tokenizer", "tokenizer_2"):
            if name in PIPELINES[source.pipeline]:
                parts[name] = CLIPTokenizer.from_pretrained(folder / name)
        pipe = CLASSES[source.pipeline].from_pretrained(folder, **parts, **_without(source))
    except LOAD_FAULTS as error:
        raise MethodError(_broken(folder, error)) from error
    return pipe


def _from_single_file(source: CheckpointLocation, dtype: torch.dtype) -> Any:
    file, folder = str(source.single), str(source.folder)
    try:
        vae = AutoencoderKL.from_single_file(
            file,
            config=folder,
            subfolder="vae",
            torch_dtype=_vae_type(source, dtype),
            local_files_only=True,
        )
        pipe = CLASSES[source.pipeline].from_single_file(
            file, config=folder, vae=vae, torch_dtype=dtype, local_files_only=True, **_without(source)
        )
    except LOAD_FAULTS as error:
        raise MethodError(
            f"{source.single}: cannot be loaded ({first_line(error)}); is config {folder} of the same model?"
        ) from error
    for part, module in networks_of(pipe).items():
        # Weights that a file lacks are left without memory.
        if missing := sorted(name for name, p in module.named_parameters() if p.is_meta):
            raise MethodError(
                f"{source.single}: {len(missing)} weights of {part} are missing, such as {missing[0]}; "
                "get it again, whole"
            )
    return pipe


def _without(source: CheckpointLocation) -> dict[str, Any]:
    """What a pipeline is told to do without."""
    if source.pipeline == "StableDiffusionXLPipeline":
        # A watermark would be written into the pictures wherever its package is installed.
        return {"feature_extractor": None, "image_encoder": None, "add_watermarker": False}
    # A checker would blacken pictures, and the black ones would enter the averages.
    return {
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    }


def _vae_type(source: CheckpointLocation, dtype: torch.dtype) -> torch.dtype:
    """SDXL's autoencoder overflows in half precision, unless its folder says that it was mended."""
    if dtype is not torch.float16 or source.pipeline != "StableDiffusionXLPipeline":
        return dtype
    upcast = AutoencoderKL.load_config(source.folder / "vae").get("force_upcast", True)
    return torch.float32 if upcast else dtype


def _part(folder: Path, name: str, cls: Any, *, variant: str | None = None, **options: Any) -> Any:
    try:
        module, loading = cls.from_pretrained(
            folder / name,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    except LOAD_FAULTS as error:
        raise MethodError(_broken(folder / name, error)) from error
    # Weights that a file lacks are silently drawn at random by the loaders.
    missing = [key for key in loading["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        raise MethodError(
            f"{folder / name}: {len(missing)} weights are missing, such as {sorted(missing)[0]}; get it again"
        )
    return module


def _broken(folder: Path, error: BaseException) -> str:
    return (
        f"{folder}: cannot be loaded ({first_line(error)}); wanted diffusers' layout with safetensors weights"
    )


def scheduler_of(name: str, own: Any) -> Any:
    """The sampler called `name`, on the noise schedule of the folder's own scheduler."""
    if name == "own":
        return own
    if name not in SCHEDULERS:
        raise MethodError(f"backbone: unknown scheduler {name!r}; known are own, {', '.join(SCHEDULERS)}")
    cls, options = SCHEDULERS[name]
    return cls.from_config(own.config, **options)
