"""The trainable modules of an IP-Adapter for FLUX.1, and their published tensor names."""

from __future__ import annotations

from typing import Final

from diffusers.models.embeddings import ImageProjection
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor
from torch import Tensor, nn

from methods.backbone.attention.double_blocks import DoubleBlockAttention
from methods.encoders.resampler import published_base
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import PublishedAdapter, xlabs_name
from methods.ip_adapter.trainable_adapter import ProjectedAdapter, copy_published

SIXTEEN_TOKENS: Final = 65_536
"""Outputs of the projection from which diffusers' loader infers 16 tokens; it infers 4 from all others."""


class TrainableDoubleBlockAdapter(ProjectedAdapter):
    """The projection of an embedding to tokens, and the keys and values of every double block.

    Keys and values start at zero as in XLabs-AI/x-flux (47495425, src/flux/modules/layers.py), so that the
    adapter first has no effect.
    """

    def __init__(self, attention: DoubleBlockAttention, *, embedding_width: int, tokens: int) -> None:
        super().__init__()
        readable = 16 if tokens * attention.width == SIXTEEN_TOKENS else 4
        if tokens != readable:
            raise MethodError(
                f"ip-adapter: tokens {tokens} of width {attention.width}, of which diffusers' loader reads "
                f"{readable}; set tokens to {readable}"
            )
        self.projection = ImageProjection(embedding_width, attention.width, tokens)
        self.names = attention.processor_names
        self.layers = nn.ModuleList(_layer(attention, tokens) for _ in self.names)

    def published(self) -> dict[str, Tensor]:
        """Tensors by their published names: `ip_adapter_proj_model.*`, `double_blocks.{0,1,..}.*`."""
        return {xlabs_name(name): value for name, value in self._named().items()}

    def load_matching_weights(self, stored: PublishedAdapter) -> None:
        """Copy the weights of a published file; raises MethodError if its layout or shapes differ."""
        copy_published(stored, self._named())

    def _named(self) -> dict[str, Tensor]:
        """Tensors by the names that diffusers reads."""
        projection = published_base(self.projection.state_dict())
        state = {f"image_proj.{name}": value for name, value in projection.items()}
        for index, layer in enumerate(self.layers):
            for name, value in layer.state_dict().items():
                # `to_k_ip.0.weight`: diffusers numbers the adapters, published files contain one.
                state[f"ip_adapter.{index}.{name.replace('.0.', '.')}"] = value
        return state


def _layer(attention: DoubleBlockAttention, tokens: int) -> FluxIPAdapterAttnProcessor:
    layer = FluxIPAdapterAttnProcessor(attention.inner_width, attention.width, num_tokens=(tokens,))
    for value in layer.parameters():
        nn.init.zeros_(value)
    return layer
