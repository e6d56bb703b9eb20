"""Options for less memory or faster sampling: slicing, tiling, CPU offload, compilation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError

if TYPE_CHECKING:
    from methods.backbone.families.interface import Denoiser


def check_memory_options(spec: BackboneSpec, device: torch.device) -> None:
    """Raise MethodError for numbers out of range and for options that exclude each other."""
    if spec.batch < 1 or spec.steps < 1:
        raise MethodError(f"backbone: batch {spec.batch}, steps {spec.steps}; both must be at least 1")
    if spec.cpu_offload and device.type == "cpu":
        raise MethodError("backbone: cpu_offload is for a GPU, and the device is the CPU; leave it out")
    if spec.cpu_offload == "sequential" and spec.quantization is not None:
        raise MethodError(
            "backbone: quantization and cpu_offload = 'sequential' exclude each other; use cpu_offload = true"
        )
    if spec.compile and (spec.cpu_offload or spec.attention_slicing):
        other = "cpu_offload" if spec.cpu_offload else "attention_slicing"
        raise MethodError(f"backbone: compile and {other} exclude each other; choose one")


def check_training(spec: BackboneSpec, *, text_encoders: bool = False) -> None:
    """Raise MethodError where offload moves weights away before gradients pass through them.

    `text_encoders`: through those, too.
    """
    if text_encoders and spec.cpu_offload:
        raise MethodError("backbone: cpu_offload cannot train text encoders or embeddings; leave it out")
    if spec.cpu_offload == "sequential":
        raise MethodError("backbone: cpu_offload = 'sequential' is for sampling only; use cpu_offload = true")


def check_resolution(spec: BackboneSpec, pixels: int) -> None:
    """Raise MethodError where the resolution is no multiple of a latent's width in pixels."""
    if spec.resolution is not None and spec.resolution % pixels:
        raise MethodError(f"backbone: resolution {spec.resolution}; expected a multiple of {pixels}")


def move_to_device(pipe: Any, spec: BackboneSpec, device: torch.device) -> None:
    """Move the pipeline to its device, with the memory options of the spec."""
    if spec.vae_slicing:
        pipe.vae.enable_slicing()
    if spec.vae_tiling:
        pipe.vae.enable_tiling()
    if spec.cpu_offload == "sequential":
        # Unlike diffusers' `enable_sequential_cpu_offload`, it keeps every weight the same object, with its
        # values, so that adapters can be added and changes found.
        pipe.enable_group_offload(device, offload_type="leaf_level")
    elif spec.cpu_offload:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)


@contextmanager
def memory_options_on(denoiser: Denoiser, spec: BackboneSpec, compiled: Any) -> Iterator[None]:
    """Apply the spec's options of the denoising network (slicing, compilation) while the pipeline runs.

    Only diffusers' default attention is sliced; attention processors of a method are not touched.
    """
    from diffusers.models.attention_processor import AttnProcessor2_0, SlicedAttnProcessor

    pipe, network = denoiser.pipe, denoiser.network
    sliced = {}
    if spec.attention_slicing:
        sliced = {name: p for name, p in network.attn_processors.items() if type(p) is AttnProcessor2_0}
    attentions = {name: network.get_submodule(name.removesuffix(".processor")) for name in sliced}
    for attention in attentions.values():
        # All heads of one image at a time: two images never share a slice.
        attention.set_processor(SlicedAttnProcessor(attention.heads))
    if compiled is not None:
        setattr(pipe, denoiser.part, compiled)
    try:
        yield
    finally:
        setattr(pipe, denoiser.part, network)
        for name, attention in attentions.items():
            attention.set_processor(sliced[name])


def compile_network(denoiser: Denoiser, spec: BackboneSpec) -> Any:
    """Return the compiled denoising network where the spec sets `compile`, else None.

    Each shape is compiled separately: with dynamic shapes an image would depend on earlier calls.
    """
    return torch.compile(denoiser.network, dynamic=False) if spec.compile else None


def run_compiled(call: Callable[[], Tensor]) -> Tensor:
    """Call a function that runs the compiled network, without torch's silent fallback to eager mode.

    Every change that a method makes to the network is compiled again. At torch's limit of cached versions
    all of them are dropped and the batch is repeated.
    """
    from torch._dynamo import config
    from torch._dynamo.exc import FailOnRecompileLimitHit

    with config.patch(recompile_limit=64, fail_on_recompile_limit_hit=True):
        try:
            return call()
        except FailOnRecompileLimitHit:
            torch.compiler.reset()
            return call()
