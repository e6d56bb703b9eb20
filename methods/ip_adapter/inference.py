"""Drawing with an IP-Adapter: its weights are on the backbone only while it draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import drawn_apart
from methods.compute.loading import LOAD_FAULTS, first_line, quiet
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import PublishedAdapter
from methods.subject import Request

FITTED = "image_embeds.safetensors"

FACEID = "faceid_0"
"""diffusers' name of the LoRA that a FaceID checkpoint brings."""


@dataclass(frozen=True)
class ImageFeatures:
    """What frozen networks say of N photographs, and of none."""

    photos: Tensor
    """(N, ...): CLIP's embeddings or patch tokens; in the FaceID layouts the faces' embeddings."""
    nothing: Tensor
    """(1, ...): what guidance's other half is told."""
    patches: Tensor | None = None
    """(N, L, E): CLIP's patch tokens of the faces, which FaceID-Plus reads beside their embeddings."""
    no_patches: Tensor | None = None
    """(1, L, E)."""

    def save(self, into: Path, phrase: str) -> None:
        """Write it to the folder of a fit, with the words that stand for the person."""
        tensors = {name: getattr(self, name) for name in ("photos", "nothing", "patches", "no_patches")}
        kept = {name: value.contiguous() for name, value in tensors.items() if value is not None}
        save_file(kept, into / FITTED, metadata={"phrase": phrase})

    @classmethod
    def read(cls, fitted: Path) -> tuple[ImageFeatures, str]:
        """What `save` wrote."""
        if not (fitted / FITTED).is_file():
            raise MethodError(f"{fitted}: no {FITTED}; fit the person again")
        with safe_open(fitted / FITTED, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # no mapping
            return cls(**tensors), stored.metadata()["phrase"]


@dataclass(frozen=True)
class PersonalisedImages:
    """What was seen of one person, and the weights that read it."""

    phrase: str
    seen: ImageFeatures
    checkpoint: PublishedAdapter
    backbone: Backbone
    scale: float
    lora_scale: float = 1.0
    """Weight of the LoRA that a FaceID checkpoint brings."""
    shortcut: bool = False
    """FaceID-PlusV2: the face's embedding also goes around the Resampler."""
    structure_scale: float = 1.0
    """FaceID-PlusV2's weight of the Resampler's part."""

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return drawn_apart(requests, self._draw, self.backbone)

    def _draw(self, requests: Sequence[Request]) -> list[Image]:
        backbone = self.backbone
        prompts = [request.prompt(self.phrase) for request in requests]
        seeds = [request.seed for request in requests]
        scales = {"scale": self.scale, "lora_scale": self.lora_scale}
        with backbone.clean(), adapted(backbone, self.checkpoint, **scales):
            tokens = self._tokens()
            # diffusers would project the same photographs again for every row and step.
            backbone.pipe.unet.encoder_hid_proj = torch.nn.Identity()
            return backbone.generate(
                prompts, seeds, before=lambda rows: {"ip_adapter_image_embeds": [tokens]}
            )

    @torch.no_grad()
    def _tokens(self) -> Tensor:
        """2 x photos x tokens x width; without guidance, 1 x photos x tokens x width."""
        projection = self.backbone.pipe.unet.encoder_hid_proj
        layer = projection.image_projection_layers[0]
        # Where the U-Net waits on the CPU until it is called, so do the new layers.
        place = next(layer.parameters())

        def halves(photos: Tensor, nothing: Tensor) -> Tensor:
            return torch.stack([nothing.expand_as(photos), photos]).to(place.device, place.dtype)

        if self.seen.patches is not None and self.seen.no_patches is not None:
            layer.clip_embeds = halves(self.seen.patches, self.seen.no_patches)
            layer.shortcut, layer.shortcut_scale = self.shortcut, self.structure_scale
        tokens: Tensor = projection([halves(self.seen.photos, self.seen.nothing)])[0]
        tokens = tokens.to(self.backbone.device)
        return tokens if self.backbone.spec.guidance > 1 else tokens[1:]


@contextmanager
def adapted(
    backbone: Backbone, checkpoint: PublishedAdapter, *, scale: float, lora_scale: float = 1.0
) -> Iterator[None]:
    """The backbone with the adapter, and its LoRA, that diffusers' own loader puts on it."""
    pipe = backbone.pipe
    given: dict[str, Any] = {
        "image_proj": dict(checkpoint.image_proj),
        "ip_adapter": dict(checkpoint.ip_adapter),
    }
    try:
        # diffusers builds the modules before it fills them, drawing from the global generator.
        with torch.random.fork_rng(), quiet():
            try:
                pipe.load_ip_adapter(given, subfolder="", weight_name="", image_encoder_folder=None)
            except LOAD_FAULTS as error:
                raise MethodError(
                    f"ip-adapter: the weights do not fit this backbone ({first_line(error)})"
                ) from error
        _check_loaded(pipe, checkpoint)
        pipe.unet.encoder_hid_proj.requires_grad_(False).eval()
        for processor in pipe.unet.attn_processors.values():
            if isinstance(processor, torch.nn.Module):
                processor.requires_grad_(False).eval()
        pipe.set_ip_adapter_scale(scale)
        if checkpoint.lora:
            pipe.set_adapters([FACEID], [lora_scale])
        yield
    finally:
        if checkpoint.lora:
            pipe.unload_lora_weights()
        pipe.unload_ip_adapter()
        # diffusers leaves the one it made.
        pipe.register_modules(feature_extractor=None)


def _check_loaded(pipe: Any, checkpoint: PublishedAdapter) -> None:
    """Every number of the file has found its place: diffusers drops tensors it has no name for."""
    layer = pipe.unet.encoder_hid_proj.image_projection_layers[0]
    loaded = sum(value.numel() for value in layer.state_dict().values())
    stored = sum(value.numel() for value in checkpoint.image_proj.values())
    if loaded != stored:
        raise MethodError(
            f"{checkpoint.path}: its image_proj holds {stored} numbers, layout {checkpoint.layout} "
            f"has {loaded}; wanted IP-Adapter's published layout"
        )
    if checkpoint.lora and FACEID not in getattr(pipe.unet, "peft_config", {}):
        raise MethodError(f"{checkpoint.path}: its LoRA was not applied; install peft again")
