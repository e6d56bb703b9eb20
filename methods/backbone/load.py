"""Load a pipeline's networks and scheduler from files; every error is one line."""

from __future__ import annotations

import inspect
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

PIPELINE_CLASSES: Final[Mapping[str, Any]] = {
    cls.__name__: cls for cls in (StableDiffusionPipeline, StableDiffusionXLPipeline)
}

SCHEDULERS: Final[Mapping[str, tuple[Any, Mapping[str, Any]]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    # Without Karras sigmas: on a cosine schedule steps repeat, and diffusers then indexes past the end.
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "euler": (EulerDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
}


def load_pipeline(source: CheckpointLocation, dtype: torch.dtype) -> Any:
    """Load the diffusers pipeline: evaluation mode, frozen weights, no safety checker, no watermark."""
    with quiet():
        pipe = _from_folder(source, dtype) if source.single is None else _from_single_file(source, dtype)
    expected, channels = pipe.unet.config.in_channels, pipe.vae.config.latent_channels
    if expected != channels:
        raise MethodError(
            f"{source.place}: the U-Net has {expected} input channels and latents have {channels}; "
            "expected a text-to-image model, not one for inpainting or editing"
        )
    config = pipe.scheduler.config
    if "beta_start" not in config or config.get("use_flow_sigmas"):
        raise MethodError(
            f"{source.place}: {type(pipe.scheduler).__name__} (EDM or flow matching) is not supported; "
            "expected a noise schedule of betas, such as DDIM's or Euler's"
        )
    for module in networks_of(pipe).values():
        module.requires_grad_(False).eval()
    for module in (pipe.unet, pipe.vae):
        # The fastest layout for convolutions of oneDNN and cuDNN.
        module.to(memory_format=torch.channels_last)
    return pipe


def _from_folder(source: CheckpointLocation, dtype: torch.dtype) -> Any:
    folder, variant = source.folder, source.variant
    parts = {
        "unet": _load_network(folder, "unet", UNet2DConditionModel, variant=variant, torch_dtype=dtype),
        "vae": _load_vae(source, dtype),
        "text_encoder": _load_network(folder, "text_encoder", CLIPTextModel, variant=variant, dtype=dtype),
    }
    if source.pipeline == "StableDiffusionXLPipeline":
        parts["text_encoder_2"] = _load_network(
            folder, "text_encoder_2", CLIPTextModelWithProjection, variant=variant, dtype=dtype
        )
    try:
        for name in ("tokenizer", "tokenizer_2"):
            if name in PIPELINES[source.pipeline]:
                parts[name] = CLIPTokenizer.from_pretrained(folder / name)
        pipe = PIPELINE_CLASSES[source.pipeline].from_pretrained(
            folder, **parts, **_disabled_components(source)
        )
    except LOAD_FAULTS as error:
        raise MethodError(_load_error(folder, error)) from error
    return pipe


def _from_single_file(source: CheckpointLocation, dtype: torch.dtype) -> Any:
    file, folder = str(source.single), str(source.folder)
    try:
        vae = _load_vae(source, dtype)
        pipe = PIPELINE_CLASSES[source.pipeline].from_single_file(
            file,
            config=folder,
            vae=vae,
            torch_dtype=dtype,
            local_files_only=True,
            **_disabled_components(source),
        )
    except LOAD_FAULTS as error:
        raise MethodError(
            f"{source.single}: cannot be loaded ({first_line(error)}); is config {folder} of the same model?"
        ) from error
    for part, module in networks_of(pipe).items():
        # Weights missing in the file stay on the meta device.
        if missing := sorted(name for name, p in module.named_parameters() if p.is_meta):
            raise MethodError(
                f"{source.single}: {len(missing)} weights of {part} are missing, such as {missing[0]}; "
                "get the whole file again"
            )
    return pipe


def _load_vae(source: CheckpointLocation, dtype: torch.dtype) -> Any:
    """The autoencoder: another one where the location has it, else the checkpoint's own."""
    dtype = _vae_dtype(source, dtype)
    if source.vae is not None:
        return _load_network(source.vae.parent, source.vae.name, AutoencoderKL, torch_dtype=dtype)
    if source.single is None:
        return _load_network(source.folder, "vae", AutoencoderKL, variant=source.variant, torch_dtype=dtype)
    return AutoencoderKL.from_single_file(
        str(source.single),
        config=str(source.folder),
        subfolder="vae",
        torch_dtype=dtype,
        local_files_only=True,
    )


def _disabled_components(source: CheckpointLocation) -> dict[str, Any]:
    """Arguments that disable optional components of a pipeline."""
    if source.pipeline == "StableDiffusionXLPipeline":
        # diffusers writes a watermark into the images if its package is installed.
        return {"feature_extractor": None, "image_encoder": None, "add_watermarker": False}
    # A safety checker returns black images, which would distort the averages.
    return {
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    }


def _vae_dtype(source: CheckpointLocation, dtype: torch.dtype) -> torch.dtype:
    """SDXL's autoencoder overflows in fp16, unless its config sets `force_upcast` to false."""
    if dtype is not torch.float16 or source.pipeline != "StableDiffusionXLPipeline":
        return dtype
    upcast = AutoencoderKL.load_config(source.vae_config).get("force_upcast", True)
    return torch.float32 if upcast else dtype


def _load_network(folder: Path, name: str, cls: Any, *, variant: str | None = None, **options: Any) -> Any:
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
        raise MethodError(_load_error(folder / name, error)) from error
    # The loaders silently initialise missing weights at random.
    missing = [key for key in loading["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        raise MethodError(
            f"{folder / name}: {len(missing)} weights are missing, such as {sorted(missing)[0]}; get it again"
        )
    return module


def _load_error(folder: Path, error: BaseException) -> str:
    return (
        f"{folder}: cannot be loaded ({first_line(error)}); "
        "expected diffusers' layout with safetensors weights"
    )


def make_scheduler(name: str, own: Any, *, karras: bool = False) -> Any:
    """Return the sampler called `name`, with the noise schedule of the checkpoint's own scheduler.

    `karras` replaces its noise levels; raises MethodError for a sampler without them.
    """
    if name != "own" and name not in SCHEDULERS:
        raise MethodError(f"backbone: unknown scheduler {name!r}; known: own, {', '.join(SCHEDULERS)}")
    cls, options = (type(own), {}) if name == "own" else SCHEDULERS[name]
    if karras:
        if "use_karras_sigmas" not in inspect.signature(cls.__init__).parameters:
            raise MethodError(
                f"backbone: {cls.__name__} has no Karras sigmas; use scheduler = 'dpm++', 'euler' or 'unipc'"
            )
        options = {**options, "use_karras_sigmas": True}
    return cls.from_config(own.config, **options) if options or name != "own" else own
