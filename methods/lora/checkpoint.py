"""LoRA files in diffusers' layout: written, read whole or not at all, on the backbone only while it draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft.utils import get_peft_model_state_dict
from PIL.Image import Image
from safetensors import safe_open

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import apart
from methods.compute.loading import LOAD_FAULTS, first_line, quiet
from methods.errors import MethodError
from methods.lora.merged import merged
from methods.subject import Request

ADAPTER: Final = "person"
FILE: Final = "pytorch_lora_weights.safetensors"
PHRASE: Final = "phrase.txt"
"""Beside the weights: what stands for the person in a prompt."""
PARTS: Final = ("unet", "text_encoder", "text_encoder_2")


def save_lora(pipe: Any, into: Path, *, text_too: bool) -> None:
    """Write the adapter that is on the pipeline: `pipe.load_lora_weights(folder)` reads it.

    The U-Net's names stay peft's: diffusers' own conversion renames attention only, and its loader judges
    a whole file by its first name, so a file of both kinds would silently lose one of them.
    """
    layers: dict[str, Any] = {
        "unet_lora_layers": _layers(pipe.unet),
        "unet_lora_adapter_metadata": _metadata(pipe.unet),
    }
    for part in PARTS[1:] if text_too else ():
        module = getattr(pipe, part, None)
        if module is not None:
            layers[f"{part}_lora_layers"] = convert_state_dict_to_diffusers(_layers(module))
            layers[f"{part}_lora_adapter_metadata"] = _metadata(module)
    type(pipe).save_lora_weights(into, weight_name=FILE, **layers)


def _layers(module: Any) -> dict[str, torch.Tensor]:
    layers: dict[str, torch.Tensor] = get_peft_model_state_dict(module, adapter_name=ADAPTER)
    return layers


def _metadata(module: Any) -> dict[str, Any]:
    config = module.peft_config[ADAPTER].to_dict()
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


@contextmanager
def lora_on(backbone: Backbone, file: Path, *, scale: float, merge: bool = False) -> Iterator[None]:
    """The file's layers on the backbone's U-Net and text encoders, weighed by `scale`.

    With `merge` they compute as `methods.lora.merged` says. Raises MethodError where the file is no LoRA,
    or has a layer for which the backbone has no place.
    """
    pipe = backbone.pipe
    try:
        _attach(pipe, file)
        pipe.set_adapters([ADAPTER], [scale])
        networks = [own for part in PARTS if (own := getattr(pipe, part, None)) is not None]
        with merged(networks, ADAPTER, learning=False) if merge else nullcontext():
            yield
    finally:
        pipe.unload_lora_weights()


def _attach(pipe: Any, file: Path) -> None:
    try:
        # peft builds the layers before it fills them, drawing from the global generator.
        with torch.random.fork_rng(), quiet():
            wanted = _read(pipe, file)
            pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=ADAPTER)
    except LOAD_FAULTS as error:
        raise MethodError(f"{file}: not a LoRA for this backbone ({first_line(error)})") from error
    _check(pipe, file, wanted)


def _read(pipe: Any, file: Path) -> dict[str, torch.Tensor]:
    """The file's tensors by diffusers' names, whatever layout it has."""
    with safe_open(file, "pt") as stored:
        if any("dora_scale" in key for key in stored.keys()):  # noqa: SIM118  # no mapping
            raise MethodError(f"{file}: a DoRA in kohya's layout, whose magnitudes diffusers leaves out")
    state, *_ = pipe.lora_state_dict(file.parent, weight_name=file.name, unet_config=pipe.unet.config)
    tensors: dict[str, torch.Tensor] = state
    return tensors


def _check(pipe: Any, file: Path, wanted: dict[str, torch.Tensor]) -> None:
    """diffusers leaves out, with a word in the log at most, what it finds no place for."""
    modules = [getattr(pipe, part, None) for part in PARTS]
    placed = [t for m in modules if getattr(m, "peft_config", None) for t in _layers(m).values()]
    if len(placed) != len(wanted):
        raise MethodError(
            f"{file}: the backbone has a place for {len(placed)} of its {len(wanted)} tensors; "
            "it was made for another backbone, or with layers that diffusers does not know"
        )


@dataclass(frozen=True)
class PersonalisedWeights:
    """One person's LoRA; on the backbone only while it draws."""

    phrase: str
    file: Path
    scale: float
    backbone: Backbone
    merge: bool = False

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        on = lora_on(self.backbone, self.file, scale=self.scale, merge=self.merge)
        with self.backbone.clean(), on:
            return apart(requests, self._draw, partial(self._draw, few=True))

    def _draw(self, requests: Sequence[Request], *, few: bool = False) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        return self.backbone.generate(prompts, [request.seed for request in requests], few=few)


def load_person(
    fitted: Path, scale: float, backbone: Backbone, *, merge: bool = False
) -> PersonalisedWeights:
    """The person whose LoRA and phrase lie in the folder `fitted`."""
    if not (fitted / FILE).is_file():
        raise MethodError(f"{fitted}: no {FILE}; fit the person again")
    phrase = (fitted / PHRASE).read_text(encoding="utf-8")
    return PersonalisedWeights(phrase, fitted / FILE, scale, backbone, merge)
