"""The joint attention of Stable Diffusion 3's transformer, to which an IP-Adapter adds image tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from methods.backbone.attention.interface import AdapterAttention


@dataclass(frozen=True)
class JointAttention(AdapterAttention):
    """The layout of InstantX/SD3.5-Large-IP-Adapter: its Resampler also reads the timestep."""

    layouts: ClassVar[frozenset[str]] = frozenset({"time-resampler"})
    blocks: ClassVar[Mapping[str, int]] = {}
    projects_in_every_step: ClassVar[bool] = True

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

    def module(self, name: str) -> Any:
        """The attention module of a processor's name."""
        return self.pipe.transformer.get_submodule(name.removesuffix(".processor"))

    def attach(self, processors: Mapping[str, Any], projection: nn.Module) -> None:
        self.pipe.transformer.set_attn_processor(dict(processors))
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
