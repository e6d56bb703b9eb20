"""Operations and memory of one image in the published pipelines on transformers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, Final

import network_costs as costs
import torch
from network_costs import empty, tflop
from published_networks import FLUX, FLUX2, SD3, SIDE
from torch import Tensor, nn
from transformers import T5EncoderModel

from methods.backbone.families import flux, flux_2, stable_diffusion_3
from methods.backbone.families.flow_transformer import FlowTransformer
from methods.dreambooth_lora.training import TEXT_TARGETS

CLIP_TOKENS: Final = 77
LATENT: Final = SIDE // 8


@dataclass(frozen=True)
class Pipeline:
    """What a family's pipeline computes for one image."""

    networks: Mapping[str, Callable[[], nn.Module]]
    family: Callable[[Any, torch.device], FlowTransformer]
    text_tokens: Mapping[str, int]
    """Tokens of a prompt, padded as in the pipeline, by text encoder."""
    latent_channels: int
    """Of the autoencoder."""
    inputs: Callable[[int], dict[str, Tensor]]
    """The transformer's inputs for one image, by the number of tokens of photographs in its context."""
    passes: int = 1
    """Passes of the transformer in one step: two with classifier-free guidance."""
    rows: int = 1
    """Rows of a pass for one image: two where one pass computes both of guidance."""


def _sd3_inputs(_: int) -> dict[str, Tensor]:
    return {
        "hidden_states": empty(1, 16, LATENT, LATENT),
        "encoder_hidden_states": empty(1, CLIP_TOKENS + stable_diffusion_3.T5_TOKENS, 4096),
        "pooled_projections": empty(1, 2048),
        "timestep": empty(1),
    }


def _flux_inputs(context: int) -> dict[str, Tensor]:
    tokens = IMAGE_TOKENS + context
    return {
        "hidden_states": empty(1, tokens, 64),
        "encoder_hidden_states": empty(1, flux.T5_TOKENS, 4096),
        "pooled_projections": empty(1, 768),
        "timestep": empty(1),
        "guidance": empty(1),
        "img_ids": empty(tokens, 3),
        "txt_ids": empty(flux.T5_TOKENS, 3),
    }


def _flux_2_inputs(context: int) -> dict[str, Tensor]:
    tokens = IMAGE_TOKENS + context
    return {
        "hidden_states": empty(1, tokens, 128),
        "encoder_hidden_states": empty(1, flux_2.TOKENS, 7680),
        "timestep": empty(1),
        "img_ids": empty(tokens, 4),
        "txt_ids": empty(flux_2.TOKENS, 4),
    }


IMAGE_TOKENS: Final = (LATENT // 2) ** 2
"""Of an image of `SIDE`: all three transformers read squares of 16 pixels."""
STABLE_DIFFUSION_3: Final = Pipeline(
    SD3,
    stable_diffusion_3.StableDiffusion3,
    {
        "text_encoder": CLIP_TOKENS,
        "text_encoder_2": CLIP_TOKENS,
        "text_encoder_3": stable_diffusion_3.T5_TOKENS,
    },
    16,
    _sd3_inputs,
    passes=2,
    rows=2,
)
FLUX_1: Final = Pipeline(
    FLUX,
    flux.Flux,
    {"text_encoder": CLIP_TOKENS, "text_encoder_2": flux.T5_TOKENS},
    16,
    _flux_inputs,
)
FLUX_2_KLEIN: Final = Pipeline(
    FLUX2, flux_2.Flux2Klein, {"text_encoder": flux_2.TOKENS}, 32, _flux_2_inputs, passes=2
)
"""The base model, whose guidance takes two passes one after the other."""


@dataclass(frozen=True)
class PipelineCosts:
    """Operations in TFLOP and memory in gigabytes, for one image."""

    pipeline: Pipeline
    context: int = 0
    """Tokens of photographs in the context of a generated image; in training there are none."""

    @cached_property
    def networks(self) -> dict[str, Any]:
        return costs.build(self.pipeline.networks)

    @property
    def encoders(self) -> list[str]:
        """Names of the text encoders."""
        return list(self.pipeline.text_tokens)

    def is_t5(self, part: str) -> bool:
        return isinstance(self.networks[part], T5EncoderModel)

    @cached_property
    def forward(self) -> float:
        """Of the transformer, with the context."""
        return self._forward(self.context)

    @cached_property
    def training_forward(self) -> float:
        """Of the transformer, without a context."""
        return self._forward(0) if self.context else self.forward

    def _forward(self, context: int) -> float:
        network = self.networks["transformer"]
        return tflop(lambda: network(**self.pipeline.inputs(context)), network)

    @cached_property
    def text_encoding(self) -> float:
        """Of all text encoders for one prompt."""
        return sum(tflop(partial(self._encode, part), self.networks[part]) for part in self.encoders)

    def image(self, steps: int) -> float:
        """Of one image; classifier-free guidance takes two passes and two prompts."""
        channels = self.pipeline.latent_channels
        decoder = tflop(lambda: self.networks["vae"].decode(empty(1, channels, LATENT, LATENT)))
        return self.pipeline.passes * (steps * self.forward + self.text_encoding) + decoder

    @cached_property
    def image_encoding(self) -> float:
        return tflop(lambda: self.networks["vae"].encode(empty(1, 3, SIDE, SIDE)))

    @cached_property
    def activations(self) -> tuple[float, float]:
        """As of `transformer_activations`, without a context."""
        network = self.networks["transformer"]
        return costs.transformer_activations(network, lambda: network(**self.pipeline.inputs(0)))

    @cached_property
    def text_activations(self) -> dict[str, float]:
        """What each text encoder keeps for one prompt."""
        return {
            part: costs.saved_gigabytes(self.networks[part], partial(self._encode, part))
            for part in self.encoders
        }

    def sampling(self, batch: int) -> float:
        """Memory of a batch beside the weights, in bf16."""
        # One block, or the decoder for one image at a time, whose residual blocks have 256 channels at full
        # size: input, normalised, both convolutions, output.
        rows = batch * self.pipeline.rows * (1 + self.context / IMAGE_TOKENS)
        return max(rows * self.activations[1] / 2, 5 * 256 * SIDE**2 * 2 / 1e9)

    @property
    def weights(self) -> float:
        """All networks in bf16."""
        return sum(map(costs.gigabytes, self.networks.values()))

    @property
    def largest(self) -> float:
        """The largest network in bf16: with `cpu_offload` one at a time is on the GPU."""
        return max(map(costs.gigabytes, self.networks.values()))

    @property
    def layer(self) -> float:
        """The largest layer in bf16: with sequential offload one at a time is on the GPU."""
        return max(map(costs.largest_layer, self.networks.values()))

    @property
    def text_numbers(self) -> int:
        """Numbers of the features of a prompt."""
        inputs = self.pipeline.inputs(0)
        names = ("encoder_hidden_states", "pooled_projections")
        return sum(inputs[name].numel() for name in names if name in inputs)

    def lora_parameters(self, part: str) -> int:
        """Parameters of LoRA of rank 1."""
        pipe = SimpleNamespace(transformer=self.networks["transformer"])
        own = self.pipeline.family(pipe, torch.device("meta")).lora.targets
        targets = own if part == "transformer" else TEXT_TARGETS
        layers = [
            layer
            for name, layer in self.networks[part].named_modules()
            if isinstance(layer, nn.Linear) and any(f".{name}".endswith(f".{target}") for target in targets)
        ]
        return sum(layer.in_features + layer.out_features for layer in layers)

    def _encode(self, part: str) -> object:
        tokens = self.pipeline.text_tokens[part]
        return self.networks[part](torch.zeros(1, tokens, dtype=torch.long, device="meta"))
