"""Generates with an IP-Adapter, which is attached to the backbone only while it generates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from PIL.Image import Image
from safetensors.torch import save_file
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import KeptChange, generate_split, generate_with_class_images
from methods.compute.loading import LOAD_FAULTS, first_line, quiet, read_tensors
from methods.errors import MethodError
from methods.ip_adapter.block_scales import BlockScales
from methods.ip_adapter.checkpoint import PublishedAdapter
from methods.subject import Request

FITTED = "image_embeds.safetensors"

FACEID = "faceid_0"
"""diffusers' name of the LoRA in a FaceID checkpoint."""


@dataclass(frozen=True)
class ImageFeatures:
    """Features of N photographs, and the features that stand for no photograph."""

    photos: Tensor
    """(N, ...): CLIP embeddings or patch tokens; in the FaceID layouts, face embeddings."""
    nothing: Tensor
    """(1, ...): the unconditional input for classifier-free guidance."""
    patches: Tensor | None = None
    """(N, L, E): CLIP patch tokens of the faces, which FaceID-Plus reads in addition to the embeddings."""
    no_patches: Tensor | None = None
    """(1, L, E): the unconditional counterpart of `patches`."""

    def save(self, into: Path, phrase: str) -> None:
        """Write the features and the phrase that names the subject to a fit's folder."""
        tensors = {name: getattr(self, name) for name in ("photos", "nothing", "patches", "no_patches")}
        stored = {name: value.contiguous() for name, value in tensors.items() if value is not None}
        save_file(stored, into / FITTED, metadata={"phrase": phrase})

    @classmethod
    def read(cls, fitted: Path) -> tuple[ImageFeatures, str]:
        """Return what `save` wrote: the features and the phrase."""
        if not (fitted / FITTED).is_file():
            raise MethodError(f"{fitted}: no {FITTED}; fit the person again")
        tensors, metadata = read_tensors(fitted / FITTED)
        try:
            return cls(**tensors), metadata["phrase"]
        except (TypeError, KeyError) as error:
            raise MethodError(f"{fitted / FITTED}: not a fit of this method; fit the person again") from error


@dataclass(frozen=True)
class PersonalisedImages:
    """The features of one subject, and the adapter that reads them."""

    phrase: str
    features: ImageFeatures
    checkpoint: PublishedAdapter
    backbone: Backbone
    scale: float | BlockScales
    lora_scale: float = 1.0
    """Weight of the LoRA in a FaceID checkpoint."""
    shortcut: bool = False
    """FaceID-PlusV2: the face embedding also bypasses the Resampler."""
    structure_scale: float = 1.0
    """FaceID-PlusV2: weight of the Resampler's output."""
    mean_tokens: bool = False
    """Attend to the mean of the photographs' tokens instead of to all of them."""

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        if not (self.checkpoint.has_lora and self.lora_scale):
            return generate_with_class_images(requests, self._generate, self.backbone)
        # The checkpoint's LoRA is part of the model; only the image tokens stand for the person.
        without_tokens = partial(self._generate, scale=0.0, small_batches=True)
        return generate_split(requests, self._generate, without_tokens)

    @cached_property
    def _adapter(self) -> KeptChange[Tensor]:
        return KeptChange(self.backbone, self._attached)

    def session(self) -> AbstractContextManager[None]:
        """Keep an adapter with a LoRA loaded between the calls of `generate` in the body.

        Without a LoRA it is loaded in little time, and class images come from the unchanged backbone.
        """
        return self._adapter.kept() if self.checkpoint.has_lora and self.lora_scale else nullcontext()

    @contextmanager
    def _attached(self) -> Iterator[Tensor]:
        """Attach the adapter; yields the image tokens, or features where tokens depend on the timestep."""
        with adapted(self.backbone, self.checkpoint, scale=self.scale, lora_scale=self.lora_scale):
            if self.backbone.adapter_attention.projects_in_every_step:
                yield self._features()
                return
            tokens = self._tokens()
            # diffusers would project the same photographs again for every row and step.
            self.backbone.attention.skip_projection()
            yield tokens

    def _generate(
        self, requests: Sequence[Request], *, scale: float | None = None, small_batches: bool = False
    ) -> list[Image]:
        backbone = self.backbone
        prompts = [request.prompt(self.phrase) for request in requests]
        seeds = [request.seed for request in requests]
        with self._adapter.on() as tokens:
            attention = backbone.adapter_attention
            attention.set_scale(self.scale if scale is None else scale)
            return backbone.generate(
                prompts,
                seeds,
                before=lambda rows: attention.image_arguments(tokens),
                small_batches=small_batches,
            )

    def _features(self) -> Tensor:
        """The photographs' embeddings, or their patch tokens in one sequence: (2, N, P) or (2, N L, E).

        Without guidance only the second row, which shows the photographs.
        """
        parameter = next(self.backbone.adapter_attention.projection_layer.parameters())
        photos = self.features.photos
        pair = torch.stack([self.features.nothing.expand_as(photos), photos])
        if photos.dim() == 3:
            pair = pair.flatten(1, 2)
        pair = pair.to(self.backbone.device, parameter.dtype)
        return pair if self.backbone.is_guided else pair[1:]

    @torch.no_grad()
    def _tokens(self) -> Tensor:
        """(2, photos, tokens, width); without guidance, (1, photos, tokens, width)."""
        projection = self.backbone.attention.projection
        layer = projection.image_projection_layers[0]
        # With CPU offloading, the new layers are on the CPU like the U-Net.
        parameter = next(layer.parameters())

        def guidance_pair(photos: Tensor, nothing: Tensor) -> Tensor:
            return torch.stack([nothing.expand_as(photos), photos]).to(parameter.device, parameter.dtype)

        if self.features.patches is not None and self.features.no_patches is not None:
            layer.clip_embeds = guidance_pair(self.features.patches, self.features.no_patches)
            layer.shortcut, layer.shortcut_scale = self.shortcut, self.structure_scale
        tokens: Tensor = projection([guidance_pair(self.features.photos, self.features.nothing)])[0]
        tokens = tokens.to(self.backbone.device)
        tokens = tokens.mean(dim=1, keepdim=True) if self.mean_tokens else tokens
        return tokens if self.backbone.is_guided else tokens[1:]


@contextmanager
def adapted(
    backbone: Backbone, checkpoint: PublishedAdapter, *, scale: float | BlockScales, lora_scale: float = 1.0
) -> Iterator[None]:
    """Attach the adapter and its LoRA with diffusers' own loader; detach both on exit."""
    attention = backbone.adapter_attention
    state = {"image_proj": checkpoint.image_proj, "ip_adapter": checkpoint.ip_adapter}
    try:
        # diffusers initialises the modules from the global generator before it loads their weights.
        with torch.random.fork_rng(), quiet():
            try:
                attention.load_ip_adapter(state)
            except LOAD_FAULTS as error:
                raise MethodError(
                    f"ip-adapter: the weights do not fit this backbone ({first_line(error)})"
                ) from error
        _check_loaded(backbone, checkpoint)
        attention.set_scale(scale)
        if checkpoint.has_lora:
            backbone.lora.set_scale(FACEID, lora_scale)
        yield
    finally:
        if checkpoint.has_lora:
            backbone.lora.unload()
        attention.unload_ip_adapter()


def _check_loaded(backbone: Backbone, checkpoint: PublishedAdapter) -> None:
    """Raise MethodError if weights were not loaded: diffusers silently ignores tensors it does not know."""
    layer = backbone.adapter_attention.projection_layer
    loaded = sum(value.numel() for value in layer.state_dict().values())
    stored = sum(value.numel() for value in checkpoint.image_proj.values())
    if loaded != stored:
        raise MethodError(
            f"{checkpoint.path}: its image_proj contains {stored} numbers, layout {checkpoint.layout} "
            f"has {loaded}; expected IP-Adapter's published layout"
        )
    if checkpoint.has_lora and FACEID not in getattr(backbone.network, "peft_config", {}):
        raise MethodError(f"{checkpoint.path}: its LoRA was not applied; reinstall peft")
