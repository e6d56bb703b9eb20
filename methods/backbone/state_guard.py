"""A record of the unchanged backbone, to find and undo changes that a method left on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods.backbone.locate import networks_of
from methods.errors import MethodError

TOKENIZERS = ("tokenizer", "tokenizer_2")


@dataclass(frozen=True)
class BackboneState:
    """The backbone's state right after loading."""

    weights: Mapping[str, tuple[Tensor, int]]
    """Every weight by name, with torch's count of its in-place changes."""
    buffers: Mapping[str, Tensor]
    """A copy of every buffer: moving a network between devices creates new ones."""
    processors: Mapping[str, Any]
    """The attention processors of the U-Net."""
    scheduler: Any
    scheduler_config: Mapping[str, Any]
    tokenizers: Mapping[str, tuple[Any, int]]
    """Each tokenizer with its vocabulary size."""
    hidden_projection: object
    """The U-Net config's `encoder_hid_dim_type`, which diffusers changes when it loads an IP-Adapter."""

    @classmethod
    def of(cls, pipe: Any) -> BackboneState:
        return cls(
            {name: (weight, weight._version) for name, weight in _weights(pipe).items()},
            {name: buffer.detach().cpu().clone() for name, buffer in _buffers(pipe).items()},
            dict(pipe.unet.attn_processors),
            pipe.scheduler,
            dict(pipe.scheduler.config),
            {name: (tokenizer, len(tokenizer)) for name, tokenizer in _tokenizers(pipe).items()},
            pipe.unet.config.encoder_hid_dim_type,
        )

    def leftovers(self, pipe: Any) -> list[str]:
        """Return descriptions of all differences from the recorded state; empty if there are none."""
        found = self._weight_changes(pipe)
        if _processor_types(pipe.unet.attn_processors) != _processor_types(self.processors):
            found.append("attention processors were replaced")
        if pipe.unet.config.encoder_hid_dim_type != self.hidden_projection:
            found.append("the U-Net still expects image embeddings")
        if pipe.scheduler is not self.scheduler or dict(pipe.scheduler.config) != self.scheduler_config:
            found.append("the scheduler was changed")
        found += self._tokenizer_changes(pipe)
        for part, module in networks_of(pipe).items():
            if getattr(module, "peft_config", None):
                found.append(f"LoRA adapters {sorted(module.peft_config)} remain on {part}")
            if any(child.training for child in module.modules()):
                found.append(f"{part} is in training mode")
            if any(p.requires_grad for p in module.parameters()):
                found.append(f"{part} has trainable weights")
        if pipe.image_encoder is not None or pipe.feature_extractor is not None:
            found.append("an image encoder remains on the pipeline")
        return found

    def _tokenizer_changes(self, pipe: Any) -> list[str]:
        found = []
        for name, tokenizer in _tokenizers(pipe).items():
            original, size = self.tokenizers[name]
            if tokenizer is not original:
                found.append(f"the {name} was replaced")
            elif len(tokenizer) != size:
                found.append(f"the {name} has {len(tokenizer)} tokens, had {size}")
        return found

    def _weight_changes(self, pipe: Any) -> list[str]:
        weights, buffers, found = _weights(pipe), _buffers(pipe), []
        current, recorded = weights.keys() | buffers.keys(), self.weights.keys() | self.buffers.keys()
        if added := sorted(current - recorded):
            found.append(f"{len(added)} weights were added, such as {added[0]}")
        if removed := sorted(recorded - current):
            found.append(f"{len(removed)} weights were removed, such as {removed[0]}")
        for name, (weight, version) in self.weights.items():
            if name in weights and (weights[name] is not weight or weight._version != version):
                found.append(f"weight {name} was changed")
                break
        for name, buffer in self.buffers.items():
            if name in buffers and not torch.equal(buffers[name].cpu(), buffer):
                found.append(f"buffer {name} was changed")
        return found

    def restore(self, pipe: Any) -> None:
        """Remove everything that was added; raises MethodError where a weight itself was overwritten."""
        pipe.unload_lora_weights()
        if self.hidden_projection is None:
            pipe.unet.encoder_hid_proj = None
        # Before unloading: diffusers creates processors of unknown classes again, without arguments.
        pipe.unet.set_attn_processor(dict(self.processors))
        pipe.unload_ip_adapter()
        originals = {name: tokenizer for name, (tokenizer, _) in self.tokenizers.items()}
        pipe.register_modules(image_encoder=None, feature_extractor=None, **originals)
        pipe.unet.config.encoder_hid_dim_type = self.hidden_projection
        pipe.scheduler = self.scheduler
        pipe.scheduler.register_to_config(**self.scheduler_config)
        for module in networks_of(pipe).values():
            module.requires_grad_(False).eval()
        if leftovers := self.leftovers(pipe):
            raise MethodError(f"backbone cannot be restored: {'; '.join(leftovers)}; start the run again")


def _tokenizers(pipe: Any) -> dict[str, Any]:
    found = {name: getattr(pipe, name, None) for name in TOKENIZERS}
    return {name: tokenizer for name, tokenizer in found.items() if tokenizer is not None}


def _processor_types(processors: Mapping[str, Any]) -> dict[str, type]:
    return {name: type(processor) for name, processor in processors.items()}


def _weights(pipe: Any) -> dict[str, Tensor]:
    networks = networks_of(pipe)
    return {f"{part}.{name}": p for part in networks for name, p in networks[part].named_parameters()}


def _buffers(pipe: Any) -> dict[str, Tensor]:
    networks = networks_of(pipe)
    return {f"{part}.{name}": b for part in networks for name, b in networks[part].named_buffers()}
