"""LoRA files of a pipeline in diffusers' layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class LoraFiles:
    """A pipeline's reader and writer of LoRA files."""

    pipe: Any
    names: tuple[str, ...]
    """The networks that can have LoRA layers, first the one that predicts: `unet` or `transformer`."""
    targets: tuple[str, ...]
    """Name suffixes of the layers that get LoRA by default."""

    @property
    def networks(self) -> dict[str, Any]:
        """The networks that can have LoRA layers, by the prefix of their tensors in a file."""
        return {name: getattr(self.pipe, name) for name in self.names}

    def save(
        self,
        file: Path,
        layers: Mapping[str, Mapping[str, Tensor]],
        metadata: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Write tensors and configs, each by network, so that `pipe.load_lora_weights` reads them."""
        arguments = {f"{name}_lora_layers": dict(tensors) for name, tensors in layers.items()}
        configs = {f"{name}_lora_adapter_metadata": dict(config) for name, config in metadata.items()}
        type(self.pipe).save_lora_weights(file.parent, weight_name=file.name, **arguments, **configs)

    def read(self, file: Path) -> dict[str, Tensor]:
        """Return a file's tensors by diffusers' names, for every layout that diffusers reads."""
        options = {"unet_config": self.pipe.unet.config} if "unet" in self.names else {}
        found = self.pipe.lora_state_dict(file.parent, weight_name=file.name, **options)
        # For U-Nets, the state is followed by kohya's alphas.
        state: dict[str, Tensor] = found[0] if isinstance(found, tuple) else found
        return state

    def load(self, file: Path, *, adapter: str) -> None:
        """Add a file's layers under the name `adapter`."""
        self.pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=adapter)

    def set_scale(self, adapter: str, scale: float) -> None:
        self.pipe.set_adapters([adapter], [scale])

    def unload(self) -> None:
        """Remove all LoRA layers."""
        self.pipe.unload_lora_weights()
