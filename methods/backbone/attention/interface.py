"""The attention layers to which an IP-Adapter adds image tokens, for every family that has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn


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
    def width(self) -> int:
        """Width of an adapter's image tokens."""

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
