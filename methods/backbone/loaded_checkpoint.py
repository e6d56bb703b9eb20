"""What a backbone's checkpoint is: its networks, sizes and points for adapters, for every family alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.unet import UNetAttention
from methods.backbone.families.interface import Denoiser
from methods.backbone.families.lora_files import LoraFiles
from methods.backbone.families.text_features import TextEncoder
from methods.backbone.images import LatentScale
from methods.backbone.locate import CheckpointLocation
from methods.backbone.spec import BackboneSpec, Family

DTYPES: Final = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A loaded checkpoint and the settings it was loaded with."""

    spec: BackboneSpec
    source: CheckpointLocation
    denoiser: Denoiser

    @property
    def folder(self) -> Path:
        """The folder of the configs and tokenizers, and of the weights that are not in a single file."""
        return self.source.folder

    @property
    def pipe(self) -> Any:
        """The unmodified pipeline of diffusers; for this package and its tests, not for methods."""
        return self.denoiser.pipe

    @property
    def device(self) -> torch.device:
        return self.denoiser.device

    @property
    def network(self) -> nn.Module:
        """The network that predicts: a U-Net or a transformer."""
        module: nn.Module = self.denoiser.network
        return module

    @property
    def family(self) -> Family:
        return self.denoiser.family

    @property
    def text_encoders(self) -> list[TextEncoder]:
        """The text encoders with their tokenizers, in the pipeline's order."""
        return self.denoiser.text_encoders

    @property
    def lora(self) -> LoraFiles:
        """Reading and writing of LoRA files, and the networks that have LoRA layers."""
        return self.denoiser.lora

    @property
    def adapter_attention(self) -> AdapterAttention:
        """The attention layers for adapters; raises MethodError for a family without them."""
        return self.denoiser.adapter_attention

    @property
    def attention(self) -> UNetAttention:
        """A U-Net's attention layers; raises MethodError for another family."""
        return self.denoiser.attention

    @property
    def context_sizes(self) -> list[tuple[int, int]]:
        """Widths and heights, at this resolution, of the image that the network reads beside the prompt.

        Empty for a family that reads none; the pipeline's argument is `image`, also as latents.
        """
        scale, step = self.resolution / self.denoiser.resolution, self.denoiser.pixels
        sizes = self.denoiser.context_sizes
        return [(_rounded(width * scale, step), _rounded(height * scale, step)) for width, height in sizes]

    @property
    def reads_photographs(self) -> bool:
        """Whether the network reads photographs, as the pipeline's argument `image`: a list of any sizes."""
        return self.denoiser.reads_photographs

    @property
    def reads_image_size(self) -> bool:
        """Whether the network reads an image's original size and crop, `time_ids`."""
        return self.denoiser.reads_image_size

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.spec.dtype]

    @property
    def resolution(self) -> int:
        """Side of an image in pixels."""
        return self.spec.resolution or self.denoiser.resolution

    @property
    def latent_scale(self) -> LatentScale:
        """The affine map between the autoencoder's latents and the network's."""
        return LatentScale.of(self.pipe.vae)

    @property
    def encoder_networks(self) -> list[nn.Module]:
        """The networks that encode images and texts, without the decoder."""
        vae = self.pipe.vae
        image = [part for part in (vae.encoder, vae.quant_conv) if part is not None]
        return [*image, *(encoder.network for encoder in self.text_encoders)]


def _rounded(length: float, step: int) -> int:
    """The largest multiple of `step` that is at most `length`, but not 0."""
    return max(step, int(length) // step * step)
