"""The attention layers of a U-Net, to which adapters add image tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.token_layers import TokenLayer, TokenSlot, attend
from methods.errors import MethodError


@dataclass(frozen=True)
class UNetAttention(AdapterAttention):
    """Attention processors by diffusers' names, and diffusers' own IP-Adapter loader."""

    layouts: ClassVar[frozenset[str]] = frozenset({"base", "plus", "full-face", "faceid", "faceid-plus"})

    @property
    def network(self) -> Any:
        return self.pipe.unet

    @property
    def width(self) -> int:
        """Width of the text tokens that cross-attention reads, and of an adapter's image tokens."""
        width: int = self.network.config.cross_attention_dim
        return width

    @property
    def processor_names(self) -> list[str]:
        """Names of all processors in diffusers' order, which numbers the layers of published adapters."""
        return list(self.network.attn_processors)

    @property
    def cross_attention(self) -> dict[str, Any]:
        """The cross-attention modules by the names of their processors, in diffusers' order."""
        names = [name for name in self.processor_names if name.endswith("attn2.processor")]
        return {name: self.module(name) for name in names}

    @property
    def blocks(self) -> dict[str, int]:
        """Number of transformers by block, by diffusers' names for scales: `down.block_1`, `mid`."""
        transformers: dict[str, set[str]] = {}
        for name in self.cross_attention:
            block, _, rest = name.partition(".attentions.")
            block = block.replace("_blocks.", ".block_").replace("mid_block", "mid")
            transformers.setdefault(block, set()).add(rest.partition(".")[0])
        return {block: len(numbers) for block, numbers in transformers.items()}

    @property
    def token_width(self) -> int:
        return self.width

    def token_layers(self, slot: TokenSlot) -> dict[str, TokenLayer]:
        return {
            name: CrossAttentionTokens(slot, module.to_k, module.to_v)
            for name, module in self.cross_attention.items()
        }

    def attach(self, processors: Mapping[str, Any], projection: nn.Module) -> None:
        self.place(processors)
        self.network.encoder_hid_proj = projection
        self.network.config.encoder_hid_dim_type = "ip_image_proj"

    def load_ip_adapter(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Add a published IP-Adapter, frozen, with diffusers' loader, and its LoRA where it has one."""
        self.pipe.load_ip_adapter(
            {part: dict(tensors) for part, tensors in state.items()},
            subfolder="",
            weight_name="",
            image_encoder_folder=None,
        )
        for module in (self.projection, *self.network.attn_processors.values()):
            if isinstance(module, nn.Module):
                # diffusers' loader does it by moving the whole network, which sequential offload excludes.
                module.to(self.network.device, self.network.dtype)
                module.requires_grad_(False).eval()

    def unload_ip_adapter(self) -> None:
        self.pipe.unload_ip_adapter()
        # diffusers does not remove the feature extractor that it adds.
        self.pipe.register_modules(feature_extractor=None)

    def set_scale(self, scale: float | Mapping[str, Any]) -> None:
        """Set the weight of the image tokens: one number, or one by block as diffusers nests them."""
        self.pipe.set_ip_adapter_scale(scale)

    @property
    def projection(self) -> Any:
        """The module that computes image tokens from image features; None without an IP-Adapter."""
        return self.network.encoder_hid_proj

    @property
    def projection_layer(self) -> Any:
        return self.projection.image_projection_layers[0]

    def image_arguments(self, images: Tensor) -> dict[str, Any]:
        """`images` are tokens, (2 or 1, photographs, tokens, width)."""
        return {"ip_adapter_image_embeds": [images]}

    def with_images(self, conditioning: Mapping[str, Any], images: Tensor) -> dict[str, Any]:
        added = {**conditioning.get("added_cond_kwargs", {}), "image_embeds": [images[:, None]]}
        return {**conditioning, "added_cond_kwargs": added}

    def skip_projection(self) -> None:
        """Accept image tokens in place of image features."""
        self.network.encoder_hid_proj = nn.Identity()


class CrossAttentionTokens(TokenLayer):
    """Cross-attention to the text plus scaled cross-attention of the same queries to the image tokens."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        if hidden_states.dim() != 3 or encoder_hidden_states is None or attention_mask is not None:
            raise MethodError("leave-one-out: this U-Net's cross-attention differs from SD 1.5's")
        query = attn.to_q(hidden_states)
        text = (
            attn.norm_encoder_hidden_states(encoder_hidden_states)
            if attn.norm_cross
            else encoder_hidden_states
        )
        output = attend(query, attn.to_k(text), attn.to_v(text), None, attn.heads)
        if self.is_active:
            output = output + self.attended(query, attn.heads)
        output = attn.to_out[1](attn.to_out[0](output))
        if attn.residual_connection:
            output = output + hidden_states
        rescaled: Tensor = output / attn.rescale_output_factor
        return rescaled
