"""FLUX.1: a transformer over packed latents, guidance distilled, with CLIP's pooled state and T5's tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, FluxKontextPipeline, FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from methods.backbone.attention.double_blocks import DoubleBlockAttention
from methods.backbone.families.flow_transformer import FlowTransformer
from methods.backbone.families.interface import SamplingBatch
from methods.backbone.families.text_features import TextFeatures, token_ids
from methods.backbone.rectified_flow import STEPS
from methods.backbone.spec import BackboneSpec, Family
from methods.errors import MethodError

T5_TOKENS = 512
"""Tokens of T5 per prompt, as in the pipeline."""


class Flux(FlowTransformer):
    """FLUX.1 dev and schnell. dev reads the guidance scale as an input; schnell has no guidance."""

    pipeline_class = FluxPipeline
    networks: ClassVar[Mapping[str, Any]] = {
        "transformer": FluxTransformer2DModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": T5EncoderModel,
    }
    tokenizers: ClassVar[Mapping[str, Any]] = {"tokenizer": CLIPTokenizer, "tokenizer_2": T5TokenizerFast}
    disabled: ClassVar[Mapping[str, Any]] = {"feature_extractor": None, "image_encoder": None}
    packing = 2
    reads_true_cfg = True
    lora_targets = (
        *("attn.to_k", "attn.to_q", "attn.to_v", "attn.to_out.0"),
        *("attn.add_k_proj", "attn.add_q_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    )

    @property
    def family(self) -> Family:
        return "flux"

    def check_settings(self, spec: BackboneSpec) -> None:
        super().check_settings(spec)
        if spec.clip_skip is not None:
            raise MethodError(
                f"backbone: clip_skip = {spec.clip_skip} has no effect on {self.family}, which reads CLIP's "
                "pooled state; leave it out"
            )
        if spec.negative_prompt and spec.true_cfg_scale == 1:
            raise MethodError(
                f"backbone: {self.family} reads negative_prompt only with true_cfg_scale above 1; set it, or "
                "leave negative_prompt out"
            )

    def encode_text(
        self, prompts: Sequence[str], *, clip_skip: int | None = None, max_length: int | None = None
    ) -> TextFeatures:
        """T5's tokens, and CLIP's state at the end of the prompt."""
        pipe = self.pipe
        clip = pipe.text_encoder(token_ids(pipe.tokenizer, prompts).to(self.device))
        ids = token_ids(pipe.tokenizer_2, prompts, max_length or T5_TOKENS)
        return TextFeatures(pipe.text_encoder_2(ids.to(self.device))[0], clip.pooler_output)

    def conditioning(
        self,
        text: TextFeatures,
        *,
        resolution: int,
        time_ids: Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> dict[str, Any]:
        arguments = super().conditioning(text, resolution=resolution)
        if self.network.config.guidance_embeds:
            arguments["guidance"] = torch.full((len(text.tokens),), guidance_scale, device=self.device)
        return arguments

    def predict(self, x_t: Tensor, t: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        height, width = x_t.shape[2:]
        place: dict[str, Any] = {"device": x_t.device, "dtype": x_t.dtype}
        velocity = self.network(
            hidden_states=self.packed_latents(x_t),
            timestep=t / STEPS,
            txt_ids=torch.zeros(arguments["encoder_hidden_states"].shape[1], 3, **place),
            img_ids=self.pipe._prepare_latent_image_ids(1, height // 2, width // 2, **place),
            return_dict=False,
            **arguments,
        )[0]
        scale = self.pipe.vae_scale_factor
        unpacked: Tensor = self.pipe._unpack_latents(velocity, height * scale, width * scale, scale)
        return unpacked

    @property
    def adapter_attention(self) -> DoubleBlockAttention:
        return DoubleBlockAttention(self.pipe)

    def is_guided(self, spec: BackboneSpec) -> bool:
        return spec.true_cfg_scale > 1

    def encode_prompts(
        self, prompts: Sequence[str], spec: BackboneSpec, *, negative: bool
    ) -> tuple[Tensor, ...]:
        length = spec.max_sequence_length or T5_TOKENS
        tokens, pooled, _ = self.pipe.encode_prompt(list(prompts), None, max_sequence_length=length)
        return tokens, pooled

    def sampling_arguments(self, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
        arguments = {
            "prompt": list(batch.prompts),
            "guidance_scale": spec.guidance,
            "max_sequence_length": spec.max_sequence_length or T5_TOKENS,
        }
        if self.is_guided(spec):
            arguments["negative_prompt"] = [spec.negative_prompt] * len(batch.prompts)
            arguments["true_cfg_scale"] = spec.true_cfg_scale
        return arguments

    def packed_latents(self, latents: Tensor) -> Tensor:
        packed: Tensor = self.pipe._pack_latents(latents, *latents.shape)
        return packed

    def unpacked(self, latents: Tensor, resolution: int) -> Tensor:
        scale = self.pipe.vae_scale_factor
        unpacked: Tensor = self.pipe._unpack_latents(latents, resolution, resolution, scale)
        return unpacked


class FluxKontext(Flux):
    """FLUX.1 Kontext: FLUX.1 dev that also reads an image, given to the pipeline as `image`."""

    pipeline_class = FluxKontextPipeline
    context_sizes = tuple(PREFERRED_KONTEXT_RESOLUTIONS)

    def sampling_arguments(self, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
        # The pipeline would change the height and width to this area.
        return {**super().sampling_arguments(spec, batch), "max_area": batch.resolution**2}
