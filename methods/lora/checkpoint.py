"""LoRA files in diffusers' layout: saved, loaded completely or not at all, used only during sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


def save_lora(backbone: Backbone, into: Path) -> None:
    """Write the backbone's adapter so that `pipe.load_lora_weights(folder)` of diffusers reads it.

    The denoising network's tensors keep peft's names. diffusers' conversion renames attention only, and its
    loader detects the layout by the first name, so a file with both kinds of names would silently lose one.
    """
    from diffusers.utils import convert_state_dict_to_diffusers

    networks = _with_lora(backbone)
    layers = {name: _layers(network) for name, network in networks.items()}
    layers |= {
        name: convert_state_dict_to_diffusers(tensors)
        for name, tensors in layers.items()
        if networks[name] is not backbone.network
    }
    metadata = {name: _metadata(network) for name, network in networks.items()}
    backbone.lora.save(into / FILE, layers, metadata)
    sort_header(into / FILE)


def _with_lora(backbone: Backbone) -> dict[str, Any]:
    """The networks that have LoRA layers now."""
    return {name: n for name, n in backbone.lora.networks.items() if getattr(n, "peft_config", None)}


def _layers(module: Any) -> dict[str, torch.Tensor]:
    from peft.utils import get_peft_model_state_dict

    layers: dict[str, torch.Tensor] = get_peft_model_state_dict(module, adapter_name=ADAPTER)
    return layers


def _metadata(module: Any) -> dict[str, Any]:
    config = module.peft_config[ADAPTER].to_dict()
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


@contextmanager
def lora_on(backbone: Backbone, file: Path, *, scale: float, merge: bool = False) -> Iterator[None]:
    """Add the file's layers to the backbone's network and text encoders, weighted by `scale`.

    `merge` selects the computation of `methods.lora.merged`. Raises MethodError where the file is no LoRA,
    or has a layer that the backbone does not have.
    """
    lora = backbone.lora
    try:
        _attach(backbone, file)
        lora.set_scale(ADAPTER, scale)
        networks = list(lora.networks.values())
        with merged(networks, ADAPTER, training=False) if merge else nullcontext():
            yield
    finally:
        lora.unload()


def _attach(backbone: Backbone, file: Path) -> None:
    try:
        # peft initialises the layers from the global generator before it loads them.
        with torch.random.fork_rng(), quiet():
            expected = backbone.lora.read(file)
            backbone.lora.load(file, adapter=ADAPTER)
    except LOAD_FAULTS as error:
        raise MethodError(f"{file}: not a LoRA for this backbone ({_reason(error)})") from error
    _check_all_loaded(backbone, file, expected)
    _check_strength(backbone, file)
    _check_offload(backbone, file)


def _reason(error: BaseException) -> str:
    """The first line of an error; diffusers lists tensors of kohya's layout without a layer after it."""
    head, _, names = str(error).partition("\n\n")
    if "not been correctly renamed" not in head:
        return first_line(error)
    listed = names.strip().split(", ")
    return f"{len(listed)} tensors have no layer, such as {listed[0]}"


def _check_all_loaded(backbone: Backbone, file: Path, expected: dict[str, torch.Tensor]) -> None:
    """Raise MethodError for tensors without a layer, which diffusers skips with at most a log message."""
    loaded = [tensor for network in _with_lora(backbone).values() for tensor in _layers(network).values()]
    if not expected:
        raise MethodError(f"{file}: the file has no tensors")
    if len(loaded) != len(expected):
        raise MethodError(
            f"{file}: the backbone has layers for {len(loaded)} of its {len(expected)} tensors; "
            "it was trained for another backbone, or has layers that diffusers does not support"
        )


def _check_strength(backbone: Backbone, file: Path) -> None:
    """Raise MethodError where diffusers scales a layer of a file without alphas."""
    from peft.tuners.lora import LoraLayer

    with safe_open(file, "pt") as stored:
        if METADATA in (stored.metadata() or {}):
            return
    for part, network in backbone.lora.networks.items():
        for name, layer in network.named_modules():
            if isinstance(layer, LoraLayer) and layer.scaling.get(ADAPTER, 1) != 1:
                raise MethodError(
                    f"{file}: {part}.{name} is loaded at {layer.scaling[ADAPTER]:g} times its strength; "
                    "update diffusers and peft"
                )


def _check_offload(backbone: Backbone, file: Path) -> None:
    """Raise MethodError for DoRA with sequential offload: it reads weights of layers that are not running."""
    configs = [network.peft_config[ADAPTER] for network in _with_lora(backbone).values()]
    if backbone.spec.cpu_offload == "sequential" and any(config.use_dora for config in configs):
        raise MethodError(f"{file}: a DoRA cannot be used with cpu_offload = 'sequential'; use true")


@dataclass(frozen=True)
class PersonalisedWeights:
    """One person's LoRA; on the backbone only during sampling."""

    phrase: str
    weights_on: Callable[[], AbstractContextManager[None]]
    """Context in which the weights are on the backbone."""
    backbone: Backbone

    @cached_property
    def _weights(self) -> KeptChange[None]:
        return KeptChange(self.backbone, self.weights_on)

    def session(self) -> AbstractContextManager[None]:
        """Keep the LoRA loaded between the calls of `generate` in the body."""
        return self._weights.kept()

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        with self._weights.on():
            return generate_split(requests, self._generate, partial(self._generate, small_batches=True))

    def _generate(self, requests: Sequence[Request], *, small_batches: bool = False) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        seeds = [request.seed for request in requests]
        return self.backbone.generate(prompts, seeds, small_batches=small_batches)


def load_person(
    fitted: Path, scale: float, backbone: Backbone, *, merge: bool = False
) -> PersonalisedWeights:
    """Load the LoRA and the phrase in the folder `fitted`."""
    check_fitted(fitted, FILE)
    weights_on = partial(lora_on, backbone, fitted / FILE, scale=scale, merge=merge)
    return PersonalisedWeights(read_phrase(fitted), weights_on, backbone)


def check_fitted(fitted: Path, name: str) -> None:
    """Raise MethodError where a fit's folder does not contain a file of this name."""
    if not (fitted / name).is_file():
        raise MethodError(f"{fitted}: no {name}; fit the person again")
