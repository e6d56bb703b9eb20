"""The supported pipelines and the parts of their folders. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from methods.backbone.spec import TextLimit
from methods.errors import MethodError

if TYPE_CHECKING:
    from methods.backbone.families.interface import Denoiser

STEMS: Final = {
    "unet": "diffusion_pytorch_model",
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "text_encoder_3": "model",
}
"""The networks of a folder, and the stems of their weight files."""


@dataclass(frozen=True)
class PipelineLayout:
    """A pipeline of diffusers: the class of its denoiser and the parts of its folder."""

    denoiser: str
    """`module:Class`, imported at its first use because diffusers takes seconds to import."""
    parts: tuple[str, ...]
    texts: tuple[TextLimit, ...]
    optional: tuple[str, ...] = ()
    """Parts that model_index.json may leave out or set to null."""

    def text_limits(self, parts: Sequence[str], max_sequence_length: int | None) -> tuple[TextLimit, ...]:
        """How much of a prompt each text encoder reads, of those whose tokenizer is one of the parts."""
        limits = (limit for limit in self.texts if limit.tokenizer in parts)
        return tuple(
            limit if limit.tokens is None else replace(limit, tokens=max_sequence_length or limit.tokens)
            for limit in limits
        )

    def present(self, index: Mapping[str, Any], *, t5: bool = True) -> tuple[str, ...]:
        """Return the parts that are loaded from a folder with this model_index.json; `t5` as in the spec."""
        left_out = {part for part in self.optional if not t5 or (index.get(part) or [None])[0] is None}
        return tuple(part for part in self.parts if part not in left_out)


_CLIP = ("text_encoder", "tokenizer")
_CLIP_2 = ("text_encoder_2", "tokenizer_2")
_T5 = ("text_encoder_3", "tokenizer_3")
_READS_CLIP = TextLimit("CLIP", "tokenizer")
_READS_CLIP_2 = TextLimit("CLIP", "tokenizer_2")
_FLUX_TEXTS = (_READS_CLIP, TextLimit("T5", "tokenizer_2", tokens=512))

PIPELINES: Final[Mapping[str, PipelineLayout]] = {
    "StableDiffusionPipeline": PipelineLayout(
        "methods.backbone.families.stable_diffusion:StableDiffusion",
        ("unet", "vae", *_CLIP, "scheduler"),
        (_READS_CLIP,),
    ),
    "StableDiffusionXLPipeline": PipelineLayout(
        "methods.backbone.families.stable_diffusion_xl:StableDiffusionXL",
        ("unet", "vae", *_CLIP, *_CLIP_2, "scheduler"),
        (_READS_CLIP, _READS_CLIP_2),
    ),
    "StableDiffusion3Pipeline": PipelineLayout(
        "methods.backbone.families.stable_diffusion_3:StableDiffusion3",
        ("transformer", "vae", *_CLIP, *_CLIP_2, *_T5, "scheduler"),
        (_READS_CLIP, _READS_CLIP_2, TextLimit("T5", "tokenizer_3", tokens=256)),
        optional=_T5,
    ),
    "FluxPipeline": PipelineLayout(
        "methods.backbone.families.flux:Flux",
        ("transformer", "vae", *_CLIP, *_CLIP_2, "scheduler"),
        _FLUX_TEXTS,
    ),
    "FluxKontextPipeline": PipelineLayout(
        "methods.backbone.families.flux:FluxKontext",
        ("transformer", "vae", *_CLIP, *_CLIP_2, "scheduler"),
        _FLUX_TEXTS,
    ),
    "Flux2KleinPipeline": PipelineLayout(
        "methods.backbone.families.flux_2:Flux2Klein",
        ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"),
        (TextLimit("Qwen3", "tokenizer", tokens=512, is_chat=True),),
    ),
}
"""The supported pipelines by their class name in model_index.json."""


def denoiser_class(pipeline: str) -> type[Denoiser]:
    """Import the class of a pipeline's denoiser; raises MethodError where diffusers is too old for it."""
    module, _, name = PIPELINES[pipeline].denoiser.partition(":")
    try:
        cls: type[Denoiser] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        from methods.compute.loading import first_line

        raise MethodError(
            f"backbone: diffusers {version('diffusers')} and transformers {version('transformers')} do not "
            f"have all parts of {pipeline} ({first_line(error)}); install newer ones"
        ) from error
    return cls


def networks_of(pipe: Any) -> dict[str, Any]:
    """Return a pipeline's networks by folder name."""
    return {name: module for name in STEMS if (module := getattr(pipe, name, None)) is not None}
