"""From a name to a loaded pipeline: folders, hub ids, schedulers and devices, each fault in one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError

from bench.torchvision_ops import ensure_torchvision_imports
from methods.interface import EMBEDDED, MethodError

ensure_torchvision_imports()

import diffusers  # noqa: E402
import transformers  # noqa: E402
from diffusers import (  # noqa: E402
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from transformers import CLIPTextModel, CLIPTokenizer  # noqa: E402

WEIGHTS: Final = Path(__file__).parent / "weights"

SCHEDULERS: Final[Mapping[str, tuple[Any, Mapping[str, Any]]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    # Without Karras' steps: on a cosine schedule they repeat, and diffusers then runs past their end.
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "euler": (EulerDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
}

PATTERNS: Final = ["*.json", "*/*.json", "*/*.txt", "*/*.safetensors"]

LOAD_FAULTS: Final = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""What the loaders of diffusers and transformers raise for a missing, cut or foreign file."""


def folder_of(path: str, revision: str | None) -> Path:
    """The local folder that `path` names; a hub id is fetched through huggingface_hub's cache."""
    folder = WEIGHTS / EMBEDDED if path == EMBEDDED else Path(path).expanduser()
    if (folder / "model_index.json").is_file():
        return folder
    if folder.exists():
        raise MethodError(
            f"{folder}: no model_index.json; wanted a Stable Diffusion folder in diffusers' layout"
        )
    if path == EMBEDDED:
        raise MethodError(f"{folder}: the embedded backbone is missing; make it with 'bench train backbone'")
    if path.count("/") != 1 or path.startswith((".", "/", "~")):
        raise MethodError(
            f"{folder}: no such folder; give a Stable Diffusion folder, a hub id, or 'embedded'"
        )
    return _from_hub(path, revision)


def _from_hub(path: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=PATTERNS))
    except (OSError, LocalEntryNotFoundError, HfHubHTTPError, HFValidationError) as error:
        raise MethodError(
            f"backbone {path!r}: neither a folder nor reachable on the hub ({first_line(error)}); "
            "download it once with network, or give a folder"
        ) from error


def pipeline_of(folder: Path, dtype: torch.dtype) -> StableDiffusionPipeline:
    """The stock pipeline of a folder, in evaluation mode, all weights frozen, without a safety checker."""
    with quiet():
        unet = _part(folder, "unet", UNet2DConditionModel, torch_dtype=dtype)
        vae = _part(folder, "vae", AutoencoderKL, torch_dtype=dtype)
        text_encoder = _part(folder, "text_encoder", CLIPTextModel, dtype=dtype)
        try:
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
            pipe = StableDiffusionPipeline.from_pretrained(
                folder,
                unet=unet,
                vae=vae,
                text_encoder=text_encoder,
                tokenizer=tokenizer,
                # A checker would blacken pictures, and the black ones would enter the averages.
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
            )
        except LOAD_FAULTS as error:
            raise MethodError(_broken(folder, error)) from error
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        module.requires_grad_(False).eval()
    for module in (pipe.unet, pipe.vae):
        # The layout that convolutions of oneDNN and cuDNN are fastest in.
        module.to(memory_format=torch.channels_last)
    return pipe


def _part(folder: Path, name: str, cls: Any, **options: Any) -> Any:
    try:
        module, loading = cls.from_pretrained(
            folder / name, use_safetensors=True, local_files_only=True, output_loading_info=True, **options
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


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def scheduler_of(name: str, own: Any) -> Any:
    """The sampler called `name`, on the noise schedule of the folder's own scheduler."""
    if name == "own":
        return own
    if name not in SCHEDULERS:
        raise MethodError(f"backbone: unknown scheduler {name!r}; known are own, {', '.join(SCHEDULERS)}")
    cls, options = SCHEDULERS[name]
    return cls.from_config(own.config, **options)


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is a device, and the CPU elsewhere."""
    if name == "cuda" and not torch.cuda.is_available():
        raise MethodError(
            "backbone: device 'cuda' was asked for, but torch sees none; use --device cpu or auto"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def quiet() -> Iterator[None]:
    """Loading says nothing: the harness has its own progress bars."""
    loud = transformers.logging.get_verbosity(), diffusers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled(), diffusers.utils.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # The pipeline's advice on a folder's scheduler settings.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers.logging.set_verbosity(loud[0])
        diffusers.logging.set_verbosity(loud[1])
        if bars[0]:
            transformers.logging.enable_progress_bar()
        if bars[1]:
            diffusers.utils.logging.enable_progress_bar()
