"""The interface between methods and a diffusion model of any family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from methods.backbone.families.lora_files import LoraFiles
from methods.backbone.families.text_features import TextEncoder, TextFeatures, text_encoders_of
from methods.backbone.noise_schedule import NoiseSchedule
from methods.backbone.spec import BackboneSpec, Family
from methods.errors import MethodError

if TYPE_CHECKING:
    from methods.backbone.attention.interface import AdapterAttention
    from methods.backbone.attention.unet import UNetAttention


@dataclass(frozen=True)
class SamplingBatch:
    """Input of one call of the pipeline."""

    prompts: Sequence[str]
    seeds: Sequence[int]
    resolution: int
    arguments: Mapping[str, Any]
    """Additional arguments for the pipeline."""


@dataclass(frozen=True)
class Denoiser(ABC):
    """The networks of one checkpoint, with everything that differs between families.

    `load_pipeline` reads the class members, `Backbone` calls the others; methods use `Backbone` only. Latents
    are (B, C, h, w) everywhere, scaled as the network's input; a family that packs them does so inside.
    """

    pipe: Any
    """The unmodified pipeline of diffusers."""
    device: torch.device

    pipeline_class: ClassVar[Any]
    part: ClassVar[str]
    """Name of the network that predicts: `unet` or `transformer`."""
    networks: ClassVar[Mapping[str, Any]]
    """Classes of the networks by their folders."""
    tokenizers: ClassVar[Mapping[str, Any]]
    disabled: ClassVar[Mapping[str, Any]] = {}
    """Arguments that leave out optional components of the pipeline."""
    channels_last: ClassVar[tuple[str, ...]] = ("vae",)
    """The networks of convolutions, for which this memory layout is the fastest on a CPU."""
    reads_image_size: ClassVar[bool] = False
    """Whether the network reads an image's original size and crop, `time_ids`."""
    context_sizes: ClassVar[tuple[tuple[int, int], ...]] = ()
    """Widths and heights, at the native resolution, of the image that the network reads beside the prompt, as
    the pipeline's argument `image`; empty where it reads none."""
    reads_photographs: ClassVar[bool] = False
    """Whether the network reads photographs beside the prompt, as the pipeline's argument `image`: a list of
    images of any size, the same for all rows of a batch."""
    prompt_embeds: ClassVar[tuple[str, ...]] = ()
    """The pipeline's arguments for the tensors of `encode_prompts`; empty where the pipeline encodes the
    prompts of every batch, because its text encoders are small."""
    lora_targets: ClassVar[tuple[str, ...]] = ("to_k", "to_q", "to_v", "to_out.0")
    """Name suffixes of the attention layers that get LoRA by default."""

    @classmethod
    def vae_dtype(cls, config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
        """Precision of the autoencoder with this config in a pipeline of precision `dtype`."""
        return dtype

    @classmethod
    @abstractmethod
    def check_checkpoint(cls, pipe: Any, place: object) -> None:
        """Raise MethodError for a model of another kind, such as one for inpainting."""

    @abstractmethod
    def check_settings(self, spec: BackboneSpec) -> None:
        """Raise MethodError for a setting that the family does not have."""

    @property
    @abstractmethod
    def family(self) -> Family: ...

    @property
    @abstractmethod
    def resolution(self) -> int:
        """Native side of an image in pixels."""

    @property
    def pixels(self) -> int:
        """Side in pixels of the smallest part of an image; resolutions are multiples of it."""
        side: int = self.pipe.vae_scale_factor
        return side

    @property
    def network(self) -> Any:
        """The network that predicts."""
        return getattr(self.pipe, self.part)

    @property
    def text_encoders(self) -> list[TextEncoder]:
        return text_encoders_of(self.pipe)

    @abstractmethod
    def noise_schedule(self) -> NoiseSchedule:
        """Return the checkpoint's schedule in training."""

    @abstractmethod
    def make_scheduler(self, spec: BackboneSpec) -> Any:
        """Return the sampler of the spec; raises MethodError for one that the family does not have."""

    @abstractmethod
    def encode_text(
        self, prompts: Sequence[str], *, clip_skip: int | None = None, max_length: int | None = None
    ) -> TextFeatures:
        """Encode N prompts as the pipeline does, with `max_length` tokens of T5; the empty prompt as guidance
        does.
        """

    @abstractmethod
    def conditioning(
        self,
        text: TextFeatures,
        *,
        resolution: int,
        time_ids: Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> dict[str, Any]:
        """Return the network's keyword arguments for `text`; see `Backbone.conditioning`."""

    def predict(self, x_t: Tensor, t: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        """The network's output, (B, C, h, w), for noised latents (B, C, h, w) at timesteps (B,)."""
        predicted: Tensor = self.network(x_t, t, **arguments, return_dict=False)[0]
        return predicted

    @abstractmethod
    def is_guided(self, spec: BackboneSpec) -> bool:
        """Whether the pipeline computes an unconditional row for every image."""

    @abstractmethod
    def sampling_arguments(self, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
        """Return the pipeline's arguments for prompts and guidance."""

    def encode_prompts(
        self, prompts: Sequence[str], spec: BackboneSpec, *, negative: bool
    ) -> tuple[Tensor, ...]:
        """Encode N prompts, or N negative ones, by the pipeline's own function: tensors (N, ...)."""
        raise NotImplementedError(f"{type(self).__name__} has no prompt_embeds")

    def packed_latents(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) as the pipeline's argument `latents`."""
        return latents

    def unpacked(self, latents: Tensor, resolution: int) -> Tensor:
        """The pipeline's latents as (B, C, h, w)."""
        return latents

    @property
    def lora(self) -> LoraFiles:
        """Reading and writing of LoRA files, and the networks that have LoRA layers."""
        clips = [encoder.name for encoder in self.text_encoders if encoder.is_clip]
        return LoraFiles(self.pipe, (self.part, *clips), self.lora_targets)

    @property
    def adapter_attention(self) -> AdapterAttention:
        """The attention layers for adapters; raises MethodError for a family without them."""
        raise MethodError(
            f"backbone: {type(self).__name__} has no layers for image tokens; "
            "use a backbone of the families sd1, sd2, sdxl, sd3 or flux"
        )

    @property
    def attention(self) -> UNetAttention:
        """The attention layers of a U-Net; raises MethodError for another network."""
        raise MethodError(
            f"backbone: {type(self).__name__} has no layers for this adapter; "
            "use a backbone of the families sd1, sd2 or sdxl"
        )
