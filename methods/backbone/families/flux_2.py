"""FLUX.2 klein: a transformer over packed latents and photographs, with Qwen3's hidden states as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from torch import Tensor
from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM

from methods.backbone.families.flow_transformer import FlowTransformer
from methods.backbone.families.interface import SamplingBatch
from methods.backbone.families.lora_files import LoraFiles
from methods.backbone.families.text_features import TextFeatures
from methods.backbone.images import LatentScale
from methods.backbone.rectified_flow import STEPS
from methods.backbone.spec import BackboneSpec, Family
from methods.errors import MethodError

TOKENS = 512
"""Tokens of Qwen3 per prompt, those of its chat template included, as in the pipeline."""
LEAST_TOKENS = 32
"""Less than this, the template leaves hardly any token to the prompt."""


class Flux2Klein(FlowTransformer):
    """FLUX.2 klein, base and distilled; the distilled one has no guidance.

    Latents are (B, 128, h, w), of 16 pixels each: 2 x 2 of the autoencoder's as channels.
    """

    pipeline_class = Flux2KleinPipeline
    networks: ClassVar[Mapping[str, Any]] = {
        "transformer": Flux2Transformer2DModel,
        "vae": AutoencoderKLFlux2,
        "text_encoder": Qwen3ForCausalLM,
    }
    tokenizers: ClassVar[Mapping[str, Any]] = {"tokenizer": Qwen2TokenizerFast}
    packing = 2
    prompt_embeds: ClassVar[tuple[str, ...]] = ("prompt_embeds",)
    reads_photographs = True
    lora_targets = ("to_k", "to_q", "to_v", "to_out.0", "to_qkv_mlp_proj")

    @property
    def family(self) -> Family:
        return "flux2"

    def check_settings(self, spec: BackboneSpec) -> None:
        super().check_settings(spec)
        length = spec.max_sequence_length
        if length is not None and length < LEAST_TOKENS:
            raise MethodError(
                f"backbone: max_sequence_length = {length}, of which Qwen3's chat template takes more than "
                f"10; expected {LEAST_TOKENS} to {TOKENS} for flux2"
            )
        if spec.clip_skip is not None:
            raise MethodError(f"backbone: clip_skip = {spec.clip_skip} is for CLIP; leave it out for flux2")
        if spec.negative_prompt and not self.is_guided(spec):
            raise MethodError(
                "backbone: flux2 reads negative_prompt only with guidance above 1 and not where it is "
                "distilled; leave it out"
            )

    def encode_text(
        self, prompts: Sequence[str], *, clip_skip: int | None = None, max_length: int | None = None
    ) -> TextFeatures:
        """Hidden states of three layers of Qwen3 side by side; there is no pooled state."""
        tokens, _ = self.pipe.encode_prompt(list(prompts), max_sequence_length=max_length or TOKENS)
        return TextFeatures(tokens, tokens.new_zeros(len(tokens), 0))

    def conditioning(
        self,
        text: TextFeatures,
        *,
        resolution: int,
        time_ids: Tensor | None = None,
        guidance_scale: float = 1.0,
    ) -> dict[str, Any]:
        return {"encoder_hidden_states": text.tokens}

    def predict(self, x_t: Tensor, t: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        velocity = self.network(
            hidden_states=self.pipe._pack_latents(x_t),
            timestep=t / STEPS,
            guidance=None,
            txt_ids=self.pipe._prepare_text_ids(arguments["encoder_hidden_states"]).to(x_t.device),
            img_ids=self.pipe._prepare_latent_ids(x_t).to(x_t.device),
            return_dict=False,
            **arguments,
        )[0]
        predicted: Tensor = velocity.transpose(1, 2).reshape(x_t.shape)
        return predicted

    def is_guided(self, spec: BackboneSpec) -> bool:
        return spec.guidance > 1 and not self.pipe.config.is_distilled

    @property
    def lora(self) -> LoraFiles:
        """With the targets of diffusers' script; `to_out` alone would also name lists of layers."""
        single = range(self.network.config.num_single_layers)
        outputs = (f"single_transformer_blocks.{i}.attn.to_out" for i in single)
        return LoraFiles(self.pipe, (self.part,), (*self.lora_targets, *outputs))

    def encode_prompts(
        self, prompts: Sequence[str], spec: BackboneSpec, *, negative: bool
    ) -> tuple[Tensor, ...]:
        return (self.encode_text(prompts, max_length=spec.max_sequence_length).tokens,)

    def sampling_arguments(self, spec: BackboneSpec, batch: SamplingBatch) -> dict[str, Any]:
        guided = self.is_guided(spec)
        arguments = {
            "prompt": list(batch.prompts),
            "guidance_scale": spec.guidance if guided else 1.0,
            "max_sequence_length": spec.max_sequence_length or TOKENS,
        }
        if guided:
            arguments["negative_prompt"] = [spec.negative_prompt] * len(batch.prompts)
        return arguments

    def unpacked(self, latents: Tensor, resolution: int) -> Tensor:
        # The pipeline returns the autoencoder's latents. In fp32 the way back to them loses no bit of bf16.
        return LatentScale.of(self.pipe.vae).scaled(latents.float())
