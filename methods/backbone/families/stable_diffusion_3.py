"""Stable Diffusion 3 and 3.5: a transformer with joint attention over latents and text, by rectified flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from methods.backbone.attention.joint import JointAttention
from methods.backbone.families.flow_transformer import FlowTransformer
from methods.backbone.families.interface import SamplingBatch
from methods.backbone.families.text_features import TextFeatures, token_ids, where_filled
from methods.backbone.spec import BackboneSpec, Family

T5_TOKENS = 256
"""Tokens of T5 per prompt, as in the pipeline."""


class StableDiffusion3(FlowTransformer):
    """Stable Diffusion 3 and 3.5. Without T5, zeros stand for its tokens, as in diffusers."""

    pipeline_class = StableDiffusion3Pipeline
    networks: ClassVar[Mapping[str, Any]] = {
        "transformer": SD3Transformer2DModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModelWithProjection,
        "text_encoder_2": CLIPTextModelWithProjection,
        "text_encoder_3": T5EncoderModel,
    }
    tokenizers: ClassVar[Mapping[str, Any]] = {
        "tokenizer": CLIPTokenizer,
        "tokenizer_2": CLIPTokenizer,
        "tokenizer_3": T5TokenizerFast,
    }
    disabled: ClassVar[Mapping[str, Any]] = {"feature_extractor": None, "image_encoder": None}
    lora_targets = (
        *("attn.add_k_proj", "attn.add_q_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("attn.to_k", "attn.to_out.0", "attn.to_q", "attn.to_v"),
    )

    @property
    def family(self) -> Family:
        return "sd3"

    @property
    def pixels(self) -> int:
        side: int = self.pipe.vae_scale_factor * self.network.config.patch_size
        return side

    @property
    def can_leave_out_tokens(self) -> bool:
        return self.pipe.text_encoder_3 is None

    def encode_text(
        self, prompts: Sequence[str], *, clip_skip: int | None = None, max_length: int | None = None
    ) -> TextFeatures:
        """Tokens of both CLIPs side by side, then T5's; the pooled states of both CLIPs."""
        clips = [encoder for encoder in self.text_encoders if encoder.is_clip]
        hidden, pooled = zip(
            *(self._encode_clip(*clip[:2], prompts, clip_skip) for clip in clips), strict=True
        )
        t5 = self._encode_t5(prompts, _t5_tokens(max_length))
        both = torch.cat(hidden, dim=-1)
        padded = F.pad(both, (0, t5.shape[-1] - both.shape[-1]))
        return TextFeatures(torch.cat([padded, t5], dim=-2), torch.cat(pooled, dim=-1))

    def _encode_clip(
        self, tokenizer: Any, encoder: Any, prompts: Sequence[str], clip_skip: int | None
    ) -> tuple[Tensor, Tensor]:
        ids = token_ids(tokenizer, prompts).to(self.device)
        output = encoder(ids, output_hidden_states=True)
        hidden = output.hidden_states[-2]
        if clip_skip is not None:
            # Of the empty prompt the usual layer, as in the pipeline.
            hidden = where_filled(prompts, output.hidden_states[-(clip_skip + 2)], hidden)
        return hidden, output.text_embeds

    def _encode_t5(self, prompts: Sequence[str], length: int) -> Tensor:
        if self.pipe.text_encoder_3 is None:
            width = self.network.config.joint_attention_dim
            dtype = self.pipe.text_encoder.dtype
            return torch.zeros(len(prompts), length, width, device=self.device, dtype=dtype)
        ids = token_ids(self.pipe.tokenizer_3, prompts, length).to(self.device)
        tokens: Tensor = self.pipe.text_encoder_3(ids)[0]
        return tokens

    @property
    def adapter_attention(self) -> JointAttention:
        return JointAttention(self.pipe)

    def is_guided(self, spec: BackboneSpec) -> bool:
        return spec.guidance > 1

    def encode_prompts(
        self, prompts: Sequence[str], spec: BackboneSpec, *, negative: bool
    ) -> tuple[Tensor, ...]:
        tokens, _, pooled, _ = self.pipe.encode_prompt(
            list(prompts),
            None,
            None,
            do_classifier_free_guidance=False,
            # Of negative prompts the usual layer, as in the pipeline.
            clip_skip=None if negative else spec.clip_skip,
            max_sequence_length=_t5_tokens(spec.max_sequence_length),
        )
        return tokens, pooled

    def sampling_arguments(self, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
        arguments = {
            "prompt": list(batch.prompts),
            "guidance_scale": spec.guidance,
            "clip_skip": spec.clip_skip,
            "max_sequence_length": _t5_tokens(spec.max_sequence_length),
        }
        if self.is_guided(spec):
            arguments["negative_prompt"] = [spec.negative_prompt] * len(batch.prompts)
        return arguments


def _t5_tokens(length: int | None) -> int:
    return T5_TOKENS if length is None else length
