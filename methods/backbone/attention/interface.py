"""The attention layers to which adapters add image tokens, for every family that has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from methods.backbone.attention.token_layers import ImageTokens, TokenLayer, TokenSlot, guidance_batch


@dataclass(frozen=True)
class AdapterAttention(ABC):
    """Attention processors by diffusers' names, and diffusers' own IP-Adapter loader."""

    pipe: Any

    layouts: ClassVar[frozenset[str]]
    """Layouts of published files that the family reads."""
    projects_in_every_step: ClassVar[bool] = False
    """Whether the image tokens depend on the timestep, so that the pipeline reads image features."""

    @property
    @abstractmethod
    def network(self) -> Any:
        """The network with the layers."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Width of an IP-Adapter's image tokens."""

    @property
    @abstractmethod
    def processor_names(self) -> list[str]:
        """Names of all processors in diffusers' order, which numbers the layers of published adapters."""

    @property
    @abstractmethod
    def blocks(self) -> Mapping[str, int]:
        """Number of transformers by block, by diffusers' names for scales; empty for one scale for all."""

    @abstractmethod
    def load_ip_adapter(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Add a published IP-Adapter, frozen, with diffusers' loader, and its LoRA where it has one."""

    @abstractmethod
    def unload_ip_adapter(self) -> None: ...

    @abstractmethod
    def set_scale(self, scale: float | Mapping[str, Any]) -> None:
        """Set the weight of the image tokens: one number, or one by block as diffusers nests them."""

    @property
    @abstractmethod
    def projection_layer(self) -> Any:
        """The module that computes image tokens from image features."""

    @abstractmethod
    def attach(self, processors: Mapping[str, Any], projection: nn.Module) -> None:
        """Use an IP-Adapter's processors and projection as after `load_ip_adapter`, for training.

        `Backbone.restore` removes them.
        """

    @abstractmethod
    def with_images(self, conditioning: Mapping[str, Any], images: Tensor) -> dict[str, Any]:
        """Add image features of each row, (B, ...), to `Backbone.conditioning`, for training."""

    @abstractmethod
    def image_arguments(self, images: Tensor) -> dict[str, Any]:
        """The pipeline's arguments for a batch that shows the same person in all rows.

        `images` are the unconditional and the conditional image tokens or features, in this order; without
        guidance the conditional ones alone.
        """

    @abstractmethod
    def token_layers(self, slot: TokenSlot) -> dict[str, TokenLayer]:
        """New processors for image tokens of each row, which they read from `slot`.

        By the names of the layers that read the text, in diffusers' order.
        """

    @property
    @abstractmethod
    def token_width(self) -> int:
        """Width of the image tokens that `token_layers` read."""

    def guidance_passes(
        self, unconditional: ImageTokens, conditional: ImageTokens
    ) -> tuple[ImageTokens, ...]:
        """The image tokens of the pipeline's passes in one step of classifier-free guidance."""
        return (guidance_batch(unconditional, conditional),)

    def module(self, name: str) -> Any:
        """The attention module of a processor's name."""
        return self.network.get_submodule(name.removesuffix(".processor"))

    def place(self, processors: Mapping[str, Any]) -> None:
        """Use these processors for the layers of their names; the other layers keep theirs."""
        own = self.network.attn_processors
        self.network.set_attn_processor({name: processors.get(name, kept) for name, kept in own.items()})

    @contextmanager
    def replaced(self, processors: Mapping[str, Any]) -> Iterator[None]:
        """Use other processors for the layers of these names; the previous ones return on exit."""
        before = dict(self.network.attn_processors)
        self.place(processors)
        try:
            yield
        finally:
            self.network.set_attn_processor(before)
