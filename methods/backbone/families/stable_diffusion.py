"""Stable Diffusion 1.x and 2.x: a U-Net with cross-attention to one CLIP text encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from methods.backbone.attention.unet import UNetAttention
from methods.backbone.families.interface import Denoiser, SamplingBatch
from methods.backbone.families.text_features import TextFeatures, token_ids, where_filled
from methods.backbone.families.unet_schedulers import make_scheduler
from methods.backbone.noise_schedule import VariancePreserving
from methods.backbone.spec import BackboneSpec, Family
from methods.errors import MethodError


class UNetDenoiser(Denoiser):
    """What the three families with a U-Net have in common."""

    part = "unet"
    channels_last = ("unet", "vae")

    @classmethod
    def check_checkpoint(cls, pipe: Any, place: object) -> None:
        expected, channels = pipe.unet.config.in_channels, pipe.vae.config.latent_channels
        if expected != channels:
            raise MethodError(
                f"{place}: the U-Net has {expected} input channels and latents have {channels}; "
                "expected a text-to-image model, not one for inpainting or editing"
            )
        config = pipe.scheduler.config
        if "beta_start" not in config or config.get("use_flow_sigmas"):
            raise MethodError(
                f"{place}: {type(pipe.scheduler).__name__} (EDM or flow matching) is not supported; "
                "expected a noise schedule of betas, such as DDIM's or Euler's"
            )

    def check_settings(self, spec: BackboneSpec) -> None:
        plain = BackboneSpec()
        for name in ("shift", "max_sequence_length", "true_cfg_scale"):
            if getattr(spec, name) != getattr(plain, name):
                raise MethodError(f"backbone: {name} is for sd3 or flux; leave it out for {self.family}")

    @property
    def resolution(self) -> int:
        own: int = self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor
        return own

    def noise_schedule(self) -> VariancePreserving:
        return VariancePreserving.of(self.pipe.scheduler)

    def make_scheduler(self, spec: BackboneSpec) -> Any:
        return make_scheduler(spec.scheduler, self.pipe.scheduler, karras=spec.use_karras_sigmas)

    def is_guided(self, spec: BackboneSpec) -> bool:
        """A distilled U-Net has no unconditional rows."""
        return spec.guidance > 1 and self.pipe.unet.config.time_cond_proj_dim is None

    def sampling_arguments(self, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
        # None instead of an empty prompt: SDXL was trained with zeros in its place.
        negative = [spec.negative_prompt] * len(batch.prompts) if spec.negative_prompt else None
        return {
            "prompt": list(batch.prompts),
            "negative_prompt": negative,
            "clip_skip": spec.clip_skip,
            "guidance_scale": spec.guidance,
            "guidance_rescale": spec.guidance_rescale,
        }

    @property
    def adapter_attention(self) -> UNetAttention:
        return self.attention

    @property
    def attention(self) -> UNetAttention:
        return UNetAttention(self.pipe)


class StableDiffusion(UNetDenoiser):
    """Stable Diffusion 1.x and 2.x, which differ in the projections of their attention."""

    pipeline_class = StableDiffusionPipeline
    networks: ClassVar[Mapping[str, Any]] = {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
    }
    tokenizers: ClassVar[Mapping[str, Any]] = {"tokenizer": CLIPTokenizer}
    # A safety checker returns black images, which would distort the averages.
    disabled: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    }

    @property
    def family(self) -> Family:
        return "sd2" if self.pipe.unet.config.use_linear_projection else "sd1"

    def encode_text(
        self, prompts: Sequence[str], *, clip_skip: int | None = None, max_length: int | None = None
    ) -> TextFeatures:
        tokenizer, encoder = self.text_encoders[0][:2]
        ids = token_ids(tokenizer, prompts).to(self.device)
        output = encoder(ids, output_hidden_states=clip_skip is not None)
        tokens = output.last_hidden_state
        if clip_skip is not None:
            norm = getattr(encoder, "text_model", encoder).final_layer_norm
            # Of the empty prompt all layers, as in the pipeline.
            tokens = where_filled(prompts, norm(output.hidden_states[-(clip_skip + 1)]), tokens)
        return TextFeatures(tokens, output.pooler_output)

    def conditioning(
        self,
        text: TextFeatures,
        *,
        resolution: int,
        time_ids: Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> dict[str, Any]:
        return {"encoder_hidden_states": text.tokens}

    def sampling_arguments(self, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
        arguments = super().sampling_arguments(spec, batch)
        if spec.clip_skip is None:
            return arguments
        # The pipeline looks for a module that newer text encoders do not have. The features of a negative
        # prompt are those of all layers.
        with torch.no_grad():
            prompts = self.encode_text(batch.prompts, clip_skip=spec.clip_skip).tokens
            negative = self.encode_text([spec.negative_prompt] * len(batch.prompts)).tokens
        for name in ("prompt", "negative_prompt", "clip_skip"):
            del arguments[name]
        return {**arguments, "prompt_embeds": prompts, "negative_prompt_embeds": negative}
