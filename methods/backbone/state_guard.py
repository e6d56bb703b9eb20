"""A record of the unchanged backbone, to find and undo changes that a method left on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from methods.backbone.families.catalog import networks_of
from methods.compute.object_record import ObjectRecord
from methods.errors import MethodError

TOKENIZERS: Final = ("tokenizer", "tokenizer_2", "tokenizer_3")
TEXT_PARTS: Final = ("text_encoder", "tokenizer")
"""Starts of the names of all text encoders and tokenizers."""
MAX_NAMED: Final = 3


@dataclass
class BackboneState:
    """The backbone's state right after loading.

    Recorded are the content of all weights, buffers and the scheduler's tables, the attributes, parts and
    hooks of every module, and the settings of networks, scheduler, tokenizers and pipeline.
    """

    objects: dict[str, ObjectRecord]
    """The attributes of modules, configs, scheduler, tokenizers and pipeline by name."""
    weights: Mapping[str, Tensor]
    checksums: Tensor
    """One number per weight, int64, on the CPU."""
    buffers: Mapping[str, Tensor]
    """A copy of every buffer: moving a network between devices creates new ones."""
    forwards: Mapping[Any, Any]
    """The forward method of every class of modules."""
    tokens: dict[str, int]
    """Number of tokens of each tokenizer."""
    reload: Callable[[], Any] | None = None
    """Loads the pipeline again, to restore overwritten weights and tokenizers."""
    depth: int = field(default=0)
    """Number of open `Backbone.clean` contexts; the outermost one checks."""
    restored: int = field(default=0)
    """How often the state was restored, which removes all that a method has added."""

    @classmethod
    def of(cls, pipe: Any, reload: Callable[[], Any] | None = None) -> BackboneState:
        weights = _weights(pipe)
        modules = [module for network in networks_of(pipe).values() for module in network.modules()]
        return cls(
            {name: ObjectRecord.of(found) for name, found in _objects(pipe).items()},
            weights,
            _checksums(weights),
            {name: buffer.detach().cpu().clone() for name, buffer in _buffers(pipe).items()},
            {kind: kind.forward for kind in _classes(modules)},
            {name: len(tokenizer) for name, tokenizer in _tokenizers(pipe).items()},
            reload,
        )

    def leftovers(self, pipe: Any, within: tuple[str, ...] = ("",)) -> list[str]:
        """Return descriptions of all differences from the recorded state; empty if there are none.

        `within` are starts of the names of the parts to compare.
        """
        found = []
        for part, module in networks_of(pipe).items():
            if not part.startswith(within):
                continue
            if getattr(module, "peft_config", None):
                found.append(f"LoRA adapters {sorted(module.peft_config)} remain on {part}")
            if any(child.training for child in module.modules()):
                found.append(f"{part} is in training mode")
            if any(p.requires_grad for p in module.parameters()):
                found.append(f"{part} has trainable weights")
        found += self._replaced_tokenizers(pipe)
        found += self._object_changes(pipe, within) + self._content_changes(pipe, within)
        return found + [
            f"{kind.__name__}.forward was replaced"
            for kind, forward in self.forwards.items()
            if kind.forward is not forward
        ]

    def _replaced_tokenizers(self, pipe: Any) -> list[str]:
        found = []
        for name, tokenizer in _tokenizers(pipe).items():
            if tokenizer is not self.objects[name].owner:
                found.append(f"the {name} was replaced")
            elif len(tokenizer) != self.tokens[name]:
                found.append(f"the {name} has {len(tokenizer)} tokens, had {self.tokens[name]}")
        return found

    def _object_changes(self, pipe: Any, within: tuple[str, ...]) -> list[str]:
        current = _objects(pipe)
        names = [
            f"{name}.{key}"
            for name, record in self.objects.items()
            if name.startswith(within)
            for key in record.differences(current.get(name))
        ]
        names += sorted(name for name in current.keys() - self.objects.keys() if name.startswith(within))
        if not names:
            return []
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return [f"changed: {', '.join(names[:MAX_NAMED])}{more}"]

    def _content_changes(self, pipe: Any, within: tuple[str, ...]) -> list[str]:
        found = [f"weight {name} was changed" for name in self._changed_weights(within)[:MAX_NAMED]]
        buffers = _buffers(pipe)
        return found + [
            f"buffer {name} was changed"
            for name, buffer in self.buffers.items()
            if name.startswith(within) and name in buffers and not torch.equal(buffers[name].cpu(), buffer)
        ]

    def _changed_weights(self, within: tuple[str, ...] = ("",)) -> list[str]:
        chosen = [row for row, name in enumerate(self.weights) if name.startswith(within)]
        weights = dict(item for item in self.weights.items() if item[0].startswith(within))
        changed = (_checksums(weights) != self.checksums[chosen]).tolist()
        return [name for name, differs in zip(weights, changed, strict=True) if differs]

    @contextmanager
    def unchanged(self, pipe: Any) -> Iterator[None]:
        """See `Backbone.clean`."""
        self.depth += 1
        try:
            yield
        except BaseException:
            self.restore(pipe)
            raise
        finally:
            self.depth -= 1
        if self.depth == 0 and (leftovers := self.leftovers(pipe)):
            self.restore(pipe)
            raise MethodError(f"backbone was left changed: {'; '.join(leftovers)}")

    def restore(self, pipe: Any) -> None:
        """Undo all changes; raises MethodError where that is not possible.

        Overwritten weights and tokenizers are loaded again.
        """
        self.restored += 1
        for record in self.objects.values():
            record.reset()
        for kind, forward in self.forwards.items():
            kind.forward = forward
        for module in networks_of(pipe).values():
            module.requires_grad_(False).eval()
        for name, buffer in _buffers(pipe).items():
            buffer.copy_(self.buffers[name])
        enlarged = [name for name, count in self.tokens.items() if len(getattr(pipe, name)) != count]
        changed = self._changed_weights()
        if self.reload is not None and (changed or enlarged):
            self._reload(pipe, changed, enlarged)
        if leftovers := self.leftovers(pipe):
            raise MethodError(f"backbone cannot be restored: {'; '.join(leftovers)}; start the run again")

    def _reload(self, pipe: Any, changed: list[str], enlarged: list[str]) -> None:
        assert self.reload is not None
        fresh = self.reload()
        stored = _weights(fresh)
        for name in changed:
            _overwrite(self.weights[name], stored[name])
        for name in enlarged:
            tokenizer = getattr(fresh, name)
            setattr(pipe, name, tokenizer)
            self.objects[name] = ObjectRecord.of(tokenizer)
            self.objects["pipe"].attributes[name] = tokenizer


def _classes(modules: list[Any]) -> set[Any]:
    return {type(module) for module in modules}


def _objects(pipe: Any) -> dict[str, Any]:
    """The modules, configs, scheduler, tokenizers and the pipeline itself, by name."""
    found: dict[str, Any] = {"pipe": pipe, "scheduler": pipe.scheduler, **_tokenizers(pipe)}
    for part, network in networks_of(pipe).items():
        found[f"{part}.config"] = network.config
        found |= {f"{part}.{name}" if name else part: module for name, module in network.named_modules()}
    return {**found, "scheduler.config": pipe.scheduler.config, "image_processor": pipe.image_processor}


def _checksums(weights: Mapping[str, Tensor]) -> Tensor:
    """The sum of each weight's bits as int64: one pass over the memory, exact on every device."""
    with torch.no_grad():
        sums = [_checksum(weight.detach()) for weight in weights.values()]
    return torch.stack([value.cpu() for value in sums] if _devices(sums) > 1 else sums).cpu()


def _devices(values: list[Tensor]) -> int:
    return len({value.device for value in values})


def _inner(weight: Tensor) -> dict[str, Tensor]:
    """The tensors of a quantised weight: integers, scales."""
    names, _ = weight.__tensor_flatten__()  # type: ignore[attr-defined]
    return {name: tensor for name in names if (tensor := getattr(weight, name)) is not None}


def _overwrite(weight: Tensor, stored: Tensor) -> None:
    if is_traceable_wrapper_subclass(weight):
        for name, tensor in _inner(weight).items():
            tensor.copy_(getattr(stored, name))
    else:
        weight.data = torch.empty_like(stored, device=weight.device).copy_(stored)


def _checksum(weight: Tensor) -> Tensor:
    if is_traceable_wrapper_subclass(weight):
        return torch.stack([_checksum(tensor) for tensor in _inner(weight).values()]).sum()
    channels_last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    dense = weight if channels_last or weight.is_contiguous() else weight.contiguous()
    flat = dense.as_strided((dense.numel(),), (1,))
    size = 8 // flat.element_size()
    if flat.storage_offset() % size:
        flat = flat.clone()
    whole = flat.numel() // size * size
    total = flat[:whole].view(torch.int64).sum() + dense.numel()
    return total if whole == flat.numel() else total + flat[whole:].view(torch.uint8).sum()


def _tokenizers(pipe: Any) -> dict[str, Any]:
    found = {name: getattr(pipe, name, None) for name in TOKENIZERS}
    return {name: tokenizer for name, tokenizer in found.items() if tokenizer is not None}


def _weights(pipe: Any) -> dict[str, Tensor]:
    networks = networks_of(pipe)
    return {f"{part}.{name}": p for part in networks for name, p in networks[part].named_parameters()}


def _buffers(pipe: Any) -> dict[str, Tensor]:
    networks = networks_of(pipe)
    return {f"{part}.{name}": b for part in networks for name, b in networks[part].named_buffers()}
