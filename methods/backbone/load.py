"""Load a pipeline's networks and scheduler from files; every error is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin, TorchAoConfig

from methods.backbone.families.catalog import denoiser_class, networks_of
from methods.backbone.families.interface import Denoiser
from methods.backbone.families.single_file import check_transformer
from methods.backbone.locate import CheckpointLocation
from methods.compute.loading import LOAD_FAULTS, first_line, quiet
from methods.errors import MethodError


def load_pipeline(
    source: CheckpointLocation,
    dtype: torch.dtype,
    device: torch.device,
    quantization: str | None = None,
) -> Any:
    """Load the diffusers pipeline: evaluation mode, frozen weights, no safety checker, no watermark.

    The weights are on the CPU, in the memory layout for `device`. `quantization` is that of the spec, for the
    network that predicts.
    """
    family = denoiser_class(source.pipeline)
    if quantization is not None and family.part != "transformer":
        raise MethodError(f"backbone: quantization = {quantization!r} is for transformers; leave it out")
    with quiet():
        if source.single is None or family.part == "transformer":
            pipe = _from_folder(source, family, dtype, quantization)
        else:
            pipe = _from_single_file(source, family, dtype)
    family.check_checkpoint(pipe, source.place)
    for module in networks_of(pipe).values():
        module.requires_grad_(False).eval()
    # On a GPU it made images slower: an image of SD 1.5 took .34 s in place of .25 (results/gpu).
    for name in family.channels_last if device.type == "cpu" else ():
        getattr(pipe, name).to(memory_format=torch.channels_last)
    return pipe


def _from_folder(
    source: CheckpointLocation, family: type[Denoiser], dtype: torch.dtype, quantization: str | None
) -> Any:
    folder, variant = source.folder, source.variant
    # Parts that the checkpoint leaves out are None for the pipeline.
    parts = {name: None for name in (*family.networks, *family.tokenizers) if name not in source.parts}
    for name, cls in family.networks.items():
        if name == "vae":
            parts[name] = _load_vae(source, family, dtype)
        elif source.in_single_file(name):
            parts[name] = _load_transformer_file(source, cls, dtype, quantization)
        elif name in source.parts:
            options = quantization_options(quantization) if name == family.part else {}
            parts[name] = _load_network(folder, name, cls, dtype, variant=variant, **options)
    try:
        for name, cls in family.tokenizers.items():
            if name in source.parts:
                parts[name] = cls.from_pretrained(folder / name)
        pipe = family.pipeline_class.from_pretrained(folder, **parts, **family.disabled)
    except LOAD_FAULTS as error:
        raise MethodError(_load_error(folder, error)) from error
    return pipe


def _from_single_file(source: CheckpointLocation, family: type[Denoiser], dtype: torch.dtype) -> Any:
    file, folder = str(source.single), str(source.folder)
    try:
        vae = _load_vae(source, family, dtype)
        pipe = family.pipeline_class.from_single_file(
            file,
            config=folder,
            vae=vae,
            torch_dtype=dtype,
            local_files_only=True,
            **family.disabled,
        )
    except LOAD_FAULTS as error:
        raise MethodError(_single_file_error(source, error)) from error
    for part, module in networks_of(pipe).items():
        _check_complete(source.single, part, module)
    return pipe


def _load_transformer_file(
    source: CheckpointLocation, cls: Any, dtype: torch.dtype, quantization: str | None
) -> Any:
    """The transformer of a single file, with the config of the folder that has the other parts."""
    assert source.single is not None
    if quantization is not None:
        raise MethodError(f"{source.single}: quantization is for a folder; leave it out for a single file")
    options = {"subfolder": "transformer", "torch_dtype": dtype, "local_files_only": True}
    try:
        module = cls.from_single_file(str(source.single), config=str(source.folder), **options)
    except (*LOAD_FAULTS, IndexError) as error:
        raise MethodError(_single_file_error(source, error)) from error
    _check_complete(source.single, "transformer", module)
    check_transformer(source.single, sum(tensor.numel() for tensor in module.state_dict().values()))
    return module


def _check_complete(file: Path | None, part: str, module: Any) -> None:
    """Raise MethodError for weights that the file does not have: they stay on the meta device."""
    if missing := sorted(name for name, p in module.named_parameters() if p.is_meta):
        raise MethodError(
            f"{file}: {len(missing)} weights of {part} are missing, such as {missing[0]}; "
            "get the whole file again"
        )


def _single_file_error(source: CheckpointLocation, error: BaseException) -> str:
    reason = first_line(error)
    return f"{source.single}: cannot be loaded ({reason}); is config {source.folder} of the same model?"


def _load_vae(source: CheckpointLocation, family: type[Denoiser], dtype: torch.dtype) -> Any:
    """The autoencoder: another one where the location has it, else the checkpoint's own."""
    cls = family.networks["vae"]
    try:
        dtype = family.vae_dtype(cls.load_config(source.vae_config), dtype)
    except LOAD_FAULTS as error:
        raise MethodError(_load_error(source.vae_config, error)) from error
    if source.vae is not None:
        return _load_network(source.vae.parent, source.vae.name, cls, dtype)
    if not source.in_single_file("vae"):
        return _load_network(source.folder, "vae", cls, dtype, variant=source.variant)
    return cls.from_single_file(
        str(source.single),
        config=str(source.folder),
        subfolder="vae",
        torch_dtype=dtype,
        local_files_only=True,
    )


def _load_network(
    folder: Path, name: str, cls: Any, dtype: torch.dtype, *, variant: str | None = None, **options: Any
) -> Any:
    try:
        module, loading = cls.from_pretrained(
            folder / name,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            # diffusers and transformers have different names for it.
            **{"torch_dtype" if issubclass(cls, ModelMixin) else "dtype": dtype},
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


def quantization_options(name: str | None) -> dict[str, Any]:
    """Return diffusers' options that quantise a network; raises MethodError without the package for it."""
    if name is None:
        return {}
    if name != "torchao-int8":
        raise MethodError(f"backbone: unknown quantization {name!r}; known: torchao-int8")
    try:
        from torchao.quantization import Int8WeightOnlyConfig
    except ImportError as error:
        raise MethodError(
            f"backbone: quantization = {name!r} needs the package torchao ({first_line(error)}); pip install "
            "'torchao>=0.15', or leave it out"
        ) from error
    return {"quantization_config": TorchAoConfig(Int8WeightOnlyConfig())}


def _load_error(folder: Path, error: BaseException) -> str:
    return (
        f"{folder}: cannot be loaded ({first_line(error)}); "
        "expected diffusers' layout with safetensors weights"
    )
