"""LoRA files in diffusers' layout: saved, loaded completely or not at all, used only during sampling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import torch
from PIL.Image import Image
from safetensors import safe_open

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import KeptChange, generate_split
from methods.compute.file_header import sort_header
from methods.compute.loading import LOAD_FAULTS, first_line, quiet
from methods.errors import MethodError
from methods.lora.merged import merged
from methods.phrase_file import read_phrase
from methods.subject import Request

ADAPTER: Final = "person"
FILE: Final = "pytorch_lora_weights.safetensors"
METADATA: Final = "lora_adapter_metadata"
"""Entry of a file's header in which diffusers stores ranks and alphas."""
PARTS: Final = ("unet", "text_encoder", "text_encoder_2")


def save_lora(pipe: Any, into: Path, *, with_text_encoders: bool) -> None:
    """Write the pipeline's adapter so that `pipe.load_lora_weights(folder)` reads it.

    The U-Net's tensors keep peft's names. diffusers' conversion renames attention only, and its loader
    detects the layout by the first name, so a file with both kinds of names would silently lose one.
    """
    from diffusers.utils import convert_state_dict_to_diffusers

    layers: dict[str, Any] = {
        "unet_lora_layers": _layers(pipe.unet),
        "unet_lora_adapter_metadata": _metadata(pipe.unet),
    }
    for part in PARTS[1:] if with_text_encoders else ():
        module = getattr(pipe, part, None)
        if module is not None:
            layers[f"{part}_lora_layers"] = convert_state_dict_to_diffusers(_layers(module))
            layers[f"{part}_lora_adapter_metadata"] = _metadata(module)
    type(pipe).save_lora_weights(into, weight_name=FILE, **layers)
    sort_header(into / FILE)


def _layers(module: Any) -> dict[str, torch.Tensor]:
    from peft.utils import get_peft_model_state_dict

    layers: dict[str, torch.Tensor] = get_peft_model_state_dict(module, adapter_name=ADAPTER)
    return layers


def _metadata(module: Any) -> dict[str, Any]:
    config = module.peft_config[ADAPTER].to_dict()
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


@contextmanager
def lora_on(backbone: Backbone, file: Path, *, scale: float, merge: bool = False) -> Iterator[None]:
    """Add the file's layers to the backbone's U-Net and text encoders, weighted by `scale`.

    `merge` selects the computation of `methods.lora.merged`. Raises MethodError where the file is no LoRA,
    or has a layer that the backbone does not have.
    """
    pipe = backbone.pipe
    try:
        _attach(pipe, file)
        pipe.set_adapters([ADAPTER], [scale])
        networks = [network for part in PARTS if (network := getattr(pipe, part, None)) is not None]
        with merged(networks, ADAPTER, training=False) if merge else nullcontext():
            yield
    finally:
        pipe.unload_lora_weights()


def _attach(pipe: Any, file: Path) -> None:
    try:
        # peft initialises the layers from the global generator before it loads them.
        with torch.random.fork_rng(), quiet():
            expected = _read(pipe, file)
            pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=ADAPTER)
    except LOAD_FAULTS as error:
        raise MethodError(f"{file}: not a LoRA for this backbone ({first_line(error)})") from error
    _check_all_loaded(pipe, file, expected)
    _check_strength(pipe, file)


def _read(pipe: Any, file: Path) -> dict[str, torch.Tensor]:
    """Return the file's tensors by diffusers' names, for any supported layout."""
    state, *_ = pipe.lora_state_dict(file.parent, weight_name=file.name, unet_config=pipe.unet.config)
    tensors: dict[str, torch.Tensor] = state
    return tensors


def _check_all_loaded(pipe: Any, file: Path, expected: dict[str, torch.Tensor]) -> None:
    """Raise MethodError for tensors without a layer, which diffusers skips with at most a log message."""
    modules = [getattr(pipe, part, None) for part in PARTS]
    loaded = [t for m in modules if getattr(m, "peft_config", None) for t in _layers(m).values()]
    if not expected:
        raise MethodError(f"{file}: the file has no tensors")
    if len(loaded) != len(expected):
        raise MethodError(
            f"{file}: the backbone has layers for {len(loaded)} of its {len(expected)} tensors; "
            "it was trained for another backbone, or has layers that diffusers does not support"
        )


def _check_strength(pipe: Any, file: Path) -> None:
    """Raise MethodError where diffusers scales a layer of a file without alphas."""
    from peft.tuners.lora import LoraLayer

    with safe_open(file, "pt") as stored:
        if METADATA in (stored.metadata() or {}):
            return
    for part in PARTS:
        network = getattr(pipe, part, None)
        for name, layer in network.named_modules() if network is not None else ():
            if isinstance(layer, LoraLayer) and layer.scaling.get(ADAPTER, 1) != 1:
                raise MethodError(
                    f"{file}: {part}.{name} is loaded at {layer.scaling[ADAPTER]:g} times its strength; "
                    "update diffusers and peft"
                )


@dataclass(frozen=True)
class PersonalisedWeights:
    """One person's LoRA; on the backbone only during sampling."""

    phrase: str
    file: Path
    scale: float
    backbone: Backbone
    merge: bool = False

    @cached_property
    def _lora(self) -> KeptChange[None]:
        return KeptChange(
            self.backbone, partial(lora_on, self.backbone, self.file, scale=self.scale, merge=self.merge)
        )

    def session(self) -> AbstractContextManager[None]:
        """Keep the LoRA loaded between the calls of `generate` in the body."""
        return self._lora.kept()

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        with self._lora.on():
            return generate_split(requests, self._generate, partial(self._generate, small_batches=True))

    def _generate(self, requests: Sequence[Request], *, small_batches: bool = False) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        seeds = [request.seed for request in requests]
        return self.backbone.generate(prompts, seeds, small_batches=small_batches)


def load_person(
    fitted: Path, scale: float, backbone: Backbone, *, merge: bool = False
) -> PersonalisedWeights:
    """Load the LoRA and the phrase in the folder `fitted`."""
    if not (fitted / FILE).is_file():
        raise MethodError(f"{fitted}: no {FILE}; fit the person again")
    return PersonalisedWeights(read_phrase(fitted), fitted / FILE, scale, backbone, merge)
