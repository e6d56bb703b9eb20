"""Ways to draw with less memory or faster: slices, tiles, offload to the CPU, compilation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0, SlicedAttnProcessor
from torch import Tensor

from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError


def check(spec: BackboneSpec, device: torch.device) -> None:
    """Raise MethodError for numbers out of range and for options that cannot go together."""
    if spec.batch < 1 or spec.steps < 1:
        raise MethodError(f"backbone: batch {spec.batch}, steps {spec.steps}; both must be at least 1")
    if spec.cpu_offload and device.type == "cpu":
        raise MethodError("backbone: cpu_offload is for a GPU, and the device is the CPU; leave it out")
    if spec.compile and (spec.cpu_offload or spec.attention_slicing):
        other = "cpu_offload" if spec.cpu_offload else "attention_slicing"
        raise MethodError(f"backbone: compile and {other} undo each other; choose one")


def place(pipe: Any, spec: BackboneSpec, device: torch.device) -> None:
    """Bring the pipeline to its device, in the way the spec asks for."""
    if spec.vae_slicing:
        pipe.vae.enable_slicing()
    if spec.vae_tiling:
        pipe.vae.enable_tiling()
    if spec.cpu_offload:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)


@contextmanager
def drawing(pipe: Any, spec: BackboneSpec, compiled: Any) -> Iterator[None]:
    """Around a call of the pipeline: the U-Net works in the way the spec asks for.

    Only the stock attention is sliced: what a method has put on the U-Net stays as it is.
    """
    unet = pipe.unet
    stock = {}
    if spec.attention_slicing:
        stock = {name: p for name, p in unet.attn_processors.items() if type(p) is AttnProcessor2_0}
    attentions = {name: unet.get_submodule(name.removesuffix(".processor")) for name in stock}
    for attention in attentions.values():
        # All heads of one picture at a time: a picture never shares a slice with another.
        attention.set_processor(SlicedAttnProcessor(attention.heads))
    if compiled is not None:
        pipe.unet = compiled
    try:
        yield
    finally:
        pipe.unet = unet
        for name, attention in attentions.items():
            attention.set_processor(stock[name])


def compiled(pipe: Any, spec: BackboneSpec) -> Any:
    """The compiled U-Net where the spec asks for it, else None.

    Shapes are compiled one by one: a graph for any shape would make a picture depend on what was drawn
    before it.
    """
    return torch.compile(pipe.unet, dynamic=False) if spec.compile else None


def compiling(call: Callable[[], Tensor]) -> Tensor:
    """Call what runs the compiled U-Net; it is never silently drawn uncompiled.

    Every change that a method makes to the U-Net is compiled anew. torch keeps so many versions and no
    more; then all are thrown away and the batch begins again.
    """
    from torch._dynamo import config
    from torch._dynamo.exc import FailOnRecompileLimitHit

    with config.patch(recompile_limit=64, fail_on_recompile_limit_hit=True):
        try:
            return call()
        except FailOnRecompileLimitHit:
            torch.compiler.reset()
            return call()
