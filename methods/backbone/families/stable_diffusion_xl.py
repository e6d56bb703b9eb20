"""Stable Diffusion XL: a U-Net that reads two CLIP text encoders and an image's size and crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from methods.backbone.families.stable_diffusion import UNetDenoiser
from methods.backbone.families.text_features import TextFeatures, token_ids, where_filled
from methods.backbone.spec import Family


class StableDiffusionXL(UNetDenoiser):
    """Stable Diffusion XL, base model."""

    pipeline_class = StableDiffusionXLPipeline
    networks: ClassVar[Mapping[str, Any]] = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    }
    tokenizers: ClassVar[Mapping[str, Any]] = {"tokenizer": CLIPTokenizer, "tokenizer_2": CLIPTokenizer}
    # diffusers writes a watermark into the images if its package is installed.
    disabled: ClassVar[Mapping[str, Any]] = {
        "feature_extractor": None,
        "image_encoder": None,
        "add_watermarker": False,
    }
    reads_image_size = True

    @classmethod
    def vae_dtype(cls, config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
        """SDXL's autoencoder overflows in fp16, unless its config sets `force_upcast` to false."""
        if dtype is torch.float16 and config.get("force_upcast", True):
            return torch.float32
        return dtype

    @property
    def family(self) -> Family:
        return "sdxl"

    def encode_text(
        self, prompts: Sequence[str], *, clip_skip: int | None = None, max_length: int | None = None
    ) -> TextFeatures:
        tokens, pooled = [], None
        for tokenizer, encoder, *_ in self.text_encoders:
            output = encoder(token_ids(tokenizer, prompts).to(self.device), output_hidden_states=True)
            penultimate = output.hidden_states[-2]
            if clip_skip is not None:
                # Of the empty prompt the usual layer, as in the pipeline.
                skipped = output.hidden_states[-(clip_skip + 2)]
                penultimate = where_filled(prompts, skipped, penultimate)
            tokens.append(penultimate)
            pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
        assert pooled is not None
        joined = torch.cat(tokens, dim=-1)
        if self.pipe.config.force_zeros_for_empty_prompt:
            return TextFeatures(where_filled(prompts, joined, 0), where_filled(prompts, pooled, 0))
        return TextFeatures(joined, pooled)

    def conditioning(
        self,
        text: TextFeatures,
        *,
        resolution: int,
        time_ids: Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> dict[str, Any]:
        if time_ids is None:
            uncropped = [resolution, resolution, 0, 0, resolution, resolution]
            time_ids = torch.tensor([uncropped] * len(text.tokens))
        sizes = time_ids.to(text.pooled.device, text.pooled.dtype)
        return {
            "encoder_hidden_states": text.tokens,
            "added_cond_kwargs": {"text_embeds": text.pooled, "time_ids": sizes},
        }
