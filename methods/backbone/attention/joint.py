"""The joint attention of Stable Diffusion 3's transformer, to which adapters add image tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch.nn.functional as F
from diffusers.models.attention_processor import JointAttnProcessor2_0
from torch import Tensor, nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.token_layers import TokenLayer, TokenSlot, image_queries

OWN: Final = JointAttnProcessor2_0()
"""The backbone's own attention."""


@dataclass(frozen=True)
class JointAttention(AdapterAttention):
    """The layout of InstantX/SD3.5-Large-IP-Adapter: its Resampler also reads the timestep."""

    layouts: ClassVar[frozenset[str]] = frozenset({"time-resampler"})
    blocks: ClassVar[Mapping[str, int]] = {}
    projects_in_every_step: ClassVar[bool] = True

    @property
    def network(self) -> Any:
        return self.pipe.transformer

    @property
    def width(self) -> int:
        config = self.pipe.transformer.config
        width: int = config.attention_head_dim * config.num_attention_heads
        return width

    @property
    def processor_names(self) -> list[str]:
        return list(self.pipe.transformer.attn_processors)

    def load_ip_adapter(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.pipe.load_ip_adapter(
            {part: dict(tensors) for part, tensors in state.items()}, image_encoder_folder=None
        )
        transformer = self.pipe.transformer
        for module in (transformer.image_proj, *transformer.attn_processors.values()):
            if isinstance(module, nn.Module):
                module.requires_grad_(False).eval()

    def attach(self, processors: Mapping[str, Any], projection: nn.Module) -> None:
        self.place(processors)
        self.pipe.transformer.image_proj = projection

    def with_images(self, conditioning: Mapping[str, Any], images: Tensor) -> dict[str, Any]:
        return {**conditioning, "joint_attention_kwargs": {"ip_adapter_image_embeds": images}}

    def unload_ip_adapter(self) -> None:
        self.pipe.unload_ip_adapter()

    def set_scale(self, scale: float | Mapping[str, Any]) -> None:
        self.pipe.set_ip_adapter_scale(scale)

    @property
    def projection_layer(self) -> Any:
        return self.pipe.transformer.image_proj

    def image_arguments(self, images: Tensor) -> dict[str, Any]:
        """`images` are features, (2 or 1, L, E)."""
        return {"ip_adapter_image_embeds": images}

    @property
    def token_width(self) -> int:
        return self.width

    def token_layers(self, slot: TokenSlot) -> dict[str, TokenLayer]:
        """Of the joint attention only: the second one of SD 3.5 medium's blocks reads no text."""
        names = [name for name in self.processor_names if name.endswith(".attn.processor")]
        return {name: JointTokens(slot, self.module(name)) for name in names}


class JointTokens(TokenLayer):
    """Joint attention, plus scaled attention of the latents' queries to the image tokens.

    As in diffusers' SD3IPAdapterJointAttnProcessor2_0, queries and keys are normalised, the sum is projected
    by `to_out`, and the block's gate applies to it. Unlike there, these queries attend to the image tokens
    alone, so zero values have no effect, and the tokens do not depend on the timestep.
    """

    def __init__(self, slot: TokenSlot, attn: Any) -> None:
        super().__init__(slot, attn.add_k_proj, attn.add_v_proj, attn.norm_added_k)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        latents, text = OWN(attn, hidden_states, encoder_hidden_states, attention_mask)
        if self.is_active:
            image = self.attended(image_queries(attn, hidden_states), attn.heads)
            # `to_out` is linear: its bias has been added. With sequential offload its weight is on the CPU.
            latents = latents + F.linear(image, attn.to_out[0].weight.to(image.device))
        return latents, text
