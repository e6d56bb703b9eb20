"""What an untouched backbone looks like, so that whatever a method leaves on it is found and taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from methods.interface import MethodError

PARTS = ("unet", "text_encoder", "vae")


@dataclass(frozen=True)
class BackboneState:
    """Taken right after loading."""

    tensors: Mapping[str, tuple[Tensor, int]]
    """Every weight and buffer by name, with torch's count of in-place changes to it."""
    processors: Mapping[str, type]
    """The class of each attention processor of the U-Net."""
    scheduler: Any
    scheduler_config: Mapping[str, Any]
    vocabulary: int
    hidden_projection: object
    """The U-Net config's `encoder_hid_dim_type`, which loading an IP-Adapter changes."""

    @classmethod
    def of(cls, pipe: Any) -> BackboneState:
        return cls(
            {name: (tensor, tensor._version) for name, tensor in _tensors(pipe).items()},
            {name: type(processor) for name, processor in pipe.unet.attn_processors.items()},
            pipe.scheduler,
            dict(pipe.scheduler.config),
            len(pipe.tokenizer),
            pipe.unet.config.encoder_hid_dim_type,
        )

    def leftovers(self, pipe: Any) -> list[str]:
        """What differs from the untouched backbone, in words; empty if nothing does."""
        found = self._weights(pipe)
        if {name: type(p) for name, p in pipe.unet.attn_processors.items()} != self.processors:
            found.append("attention processors were exchanged")
        if pipe.unet.config.encoder_hid_dim_type != self.hidden_projection:
            found.append("the U-Net still expects image embeddings")
        if pipe.scheduler is not self.scheduler or dict(pipe.scheduler.config) != self.scheduler_config:
            found.append("the scheduler was changed")
        if len(pipe.tokenizer) != self.vocabulary:
            found.append(f"the tokenizer has {len(pipe.tokenizer)} tokens, had {self.vocabulary}")
        for part in PARTS:
            module = getattr(pipe, part)
            if getattr(module, "peft_config", None):
                found.append(f"LoRA adapters {sorted(module.peft_config)} stayed on {part}")
            if any(child.training for child in module.modules()):
                found.append(f"{part} is in training mode")
            if any(p.requires_grad for p in module.parameters()):
                found.append(f"{part} has weights that still learn")
        if pipe.image_encoder is not None or pipe.feature_extractor is not None:
            found.append("an image encoder stayed on the pipeline")
        return found

    def _weights(self, pipe: Any) -> list[str]:
        now = _tensors(pipe)
        found = []
        if added := sorted(now.keys() - self.tensors.keys()):
            found.append(f"{len(added)} weights were added, such as {added[0]}")
        if gone := sorted(self.tensors.keys() - now.keys()):
            found.append(f"{len(gone)} weights are gone, such as {gone[0]}")
        for name, (tensor, version) in self.tensors.items():
            if name in now and (now[name] is not tensor or tensor._version != version):
                found.append(f"weight {name} was changed")
                break
        return found

    def restore(self, pipe: Any) -> None:
        """Take away what was added; raises MethodError where a weight itself was overwritten."""
        pipe.unload_lora_weights()
        if self.hidden_projection is None:
            pipe.unet.encoder_hid_proj = None
        # Before unloading: diffusers makes a new processor of each foreign class, without arguments.
        pipe.unet.set_attn_processor({name: cls() for name, cls in self.processors.items()})
        pipe.unload_ip_adapter()
        pipe.register_modules(image_encoder=None, feature_extractor=None)
        pipe.unet.config.encoder_hid_dim_type = self.hidden_projection
        pipe.scheduler = self.scheduler
        pipe.scheduler.register_to_config(**self.scheduler_config)
        for part in PARTS:
            getattr(pipe, part).requires_grad_(False).eval()
        if leftovers := self.leftovers(pipe):
            raise MethodError(f"backbone cannot be mended: {'; '.join(leftovers)}; start the run again")


def _tensors(pipe: Any) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor
        for part in PARTS
        for pairs in (getattr(pipe, part).named_parameters(), getattr(pipe, part).named_buffers())
        for name, tensor in pairs
    }
