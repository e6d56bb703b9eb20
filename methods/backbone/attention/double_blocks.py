"""The attention of FLUX.1's double blocks, to which adapters add image tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor, nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.token_layers import ImageTokens, TokenLayer, TokenSlot, image_queries

OWN: Final = FluxAttnProcessor()
"""The backbone's own attention."""


class DoubleBlockAttention(AdapterAttention):
    """The layout of XLabs-AI/flux-ip-adapter: CLIP's projected embedding; single blocks read no image."""

    layouts: ClassVar[frozenset[str]] = frozenset({"double-blocks"})
    blocks: ClassVar[Mapping[str, int]] = {}
    projects_in_every_step: ClassVar[bool] = True

    @property
    def network(self) -> Any:
        return self.pipe.transformer

    @property
    def width(self) -> int:
        width: int = self.pipe.transformer.config.joint_attention_dim
        return width

    @property
    def inner_width(self) -> int:
        """Width of the keys and values."""
        width: int = self.pipe.transformer.inner_dim
        return width

    @property
    def processor_names(self) -> list[str]:
        names = list(self.pipe.transformer.attn_processors)
        return [name for name in names if not name.startswith("single_transformer_blocks")]

    def load_ip_adapter(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        # The loader compares the order of the parts.
        parts = {part: dict(state[part]) for part in ("image_proj", "ip_adapter")}
        self.pipe.load_ip_adapter(
            parts, weight_name="", subfolder="", image_encoder_pretrained_model_name_or_path=None
        )
        transformer = self.pipe.transformer
        for module in (transformer.encoder_hid_proj, *transformer.attn_processors.values()):
            if isinstance(module, nn.Module):
                module.requires_grad_(False).eval()

    def attach(self, processors: Mapping[str, Any], projection: nn.Module) -> None:
        self.place(processors)
        self.pipe.transformer.encoder_hid_proj = projection

    def with_images(self, conditioning: Mapping[str, Any], images: Tensor) -> dict[str, Any]:
        """`images` are embeddings, (B, P) of one photograph or (B, photographs, P)."""
        photographs = images[:, None] if images.dim() == 2 else images
        return {**conditioning, "joint_attention_kwargs": {"ip_adapter_image_embeds": [photographs]}}

    def unload_ip_adapter(self) -> None:
        self.pipe.unload_ip_adapter()
        # diffusers leaves the attribute, which the transformer does not have before.
        if "encoder_hid_proj" in self.pipe.transformer._modules:
            del self.pipe.transformer.encoder_hid_proj

    def set_scale(self, scale: float | Mapping[str, Any]) -> None:
        self.pipe.set_ip_adapter_scale(scale)

    @property
    def projection_layer(self) -> Any:
        return self.pipe.transformer.encoder_hid_proj.image_projection_layers[0]

    def image_arguments(self, images: Tensor) -> dict[str, Any]:
        """`images` are embeddings, (2 or 1, photographs, P).

        Without negative embeddings, the pipeline would encode a black image, for which it has no encoder.
        """
        negative = images[:1] if len(images) == 2 else torch.zeros_like(images)
        return {"ip_adapter_image_embeds": [images[-1:]], "negative_ip_adapter_image_embeds": [negative]}

    @property
    def token_width(self) -> int:
        return self.inner_width

    def token_layers(self, slot: TokenSlot) -> dict[str, TokenLayer]:
        return {name: DoubleBlockTokens(slot, self.module(name)) for name in self.processor_names}

    def guidance_passes(
        self, unconditional: ImageTokens, conditional: ImageTokens
    ) -> tuple[ImageTokens, ...]:
        """With `true_cfg_scale` the pipeline computes two passes, the conditional one first."""
        return conditional, unconditional


class DoubleBlockTokens(TokenLayer):
    """A double block's attention, and scaled attention of the latents' queries to the image tokens.

    As in diffusers' FluxIPAdapterAttnProcessor, queries are normalised without rotary embedding, and the
    block adds the result after its feed-forward network, without `to_out` and gate. Keys are normalised as
    the text's, which they are not there.
    """

    def __init__(self, slot: TokenSlot, attn: Any) -> None:
        super().__init__(slot, attn.add_k_proj, attn.add_v_proj, attn.norm_added_k)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        latents, text = OWN(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)
        if not self.is_active:
            return latents, text
        return latents, text, self.attended(image_queries(attn, hidden_states), attn.heads)
