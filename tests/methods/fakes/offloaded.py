"""Sequential offload on the CPU: diffusers' hooks run, and a weight that is not loaded cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from diffusers.hooks import group_offloading
from diffusers.hooks.group_offloading import ModuleGroup
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

import methods.backbone.backbone
from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.ip_adapter.checkpoint import read_adapter
from methods.ip_adapter.inference import adapted

BETWEEN_DEVICES: Final = (Tensor.copy_, Tensor.data.__set__, torch._has_compatible_shallow_copy_type)
"""Functions of tensors on different devices."""


def open_offloaded(spec: BackboneSpec) -> Backbone:
    """As `Backbone.open` with `cpu_offload = "sequential"`, which is refused on the CPU outside tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods.backbone.backbone, "check_memory_options", lambda spec, device: None)
        return Backbone.open(replace(spec, cpu_offload="sequential"))


@contextmanager
def weights_off_the_gpu(owner: Any) -> Iterator[UnloadedWeights]:
    """Fail where a weight meets another tensor while it is not loaded, which on a GPU fails by its device.

    `owner` has a pipeline of diffusers, `pipe`.
    """
    unloaded = UnloadedWeights(owner.pipe)
    with pytest.MonkeyPatch.context() as patch, unloaded:
        patch.setattr(ModuleGroup, "onload_", lambda group: unloaded.load(group))
        patch.setattr(ModuleGroup, "offload_", lambda group: unloaded.unload(group))
        yield unloaded


class UnloadedWeights(TorchFunctionMode):
    """Weights and buffers that are not loaded: all of the pipeline, and those of layers added later."""

    def __init__(self, pipe: Any) -> None:
        super().__init__()
        parts = [(name, part) for name, part in pipe.components.items() if isinstance(part, nn.Module)]
        self.all = {
            id(tensor): f"{part}.{name}"
            for part, network in parts
            for name, tensor in [*network.named_parameters(), *network.named_buffers()]
        }
        self.names = dict(self.all)
        self.groups: list[ModuleGroup] = []
        """Kept, so that no id is given to another tensor."""
        self.ran: set[int] = set()
        """The weights of the pipeline that were loaded at some time."""
        self.most = 0
        """The largest number of them that were loaded at a time."""

    def load(self, group: ModuleGroup) -> None:
        for weight in weights_of(group):
            self.names.pop(id(weight), None)
        self.ran |= self.all.keys() - self.names.keys()
        self.most = max(self.most, len(self.all.keys() - self.names.keys()))

    def unload(self, group: ModuleGroup) -> None:
        self.groups.append(group)
        for weight in weights_of(group):
            self.names[id(weight)] = self.all.get(id(weight), "a weight of an added layer")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in BETWEEN_DEVICES:
            tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            found = [self.names[id(tensor)] for tensor in tensors if id(tensor) in self.names]
            assert not (found and len(tensors) > len(found)), f"{found[0]} is used and not loaded"
        result = func(*args, **(kwargs or {}))
        # A copy on another device; on the CPU, the weight itself.
        is_weight = func in (Tensor.to, Tensor.cpu) and id(result) in self.names
        return result.detach() if is_weight else result


def weights_of(group: ModuleGroup) -> list[Tensor]:
    """The weights and buffers that are loaded together."""
    modules = [tensor for module in group.modules for tensor in (*module.parameters(), *module.buffers())]
    return [*group.parameters, *group.buffers, *modules]


def weights_beside_the_gpu(backbone: Backbone, adapter: Path) -> list[str]:
    """Weights of an attached IP-Adapter that are neither on the GPU nor loaded with a layer.

    The device `meta` stands for the GPU.
    """
    backbone = open_offloaded(backbone.spec)
    with pytest.MonkeyPatch.context() as patch:
        # Nothing can be copied from `meta`.
        patch.setattr(ModuleGroup, "offload_", lambda group: None)
        patch.setattr(group_offloading, "TorchDeviceBackend", lambda device: None)
        patch.setattr(_hooks(backbone.network)[0].config, "onload_device", torch.device("meta"))
        return _beside(backbone, adapter)


def _hooks(network: Any) -> list[Any]:
    """The network's hooks that load and unload layers."""
    hooked = [module for module in network.modules() if hasattr(module, "_diffusers_hook")]
    hooks = [module._diffusers_hook.get_hook("group_offloading") for module in hooked]
    return [hook for hook in hooks if hook is not None]


def _beside(backbone: Backbone, adapter: Path) -> list[str]:
    before = {name for name, _ in backbone.network.named_parameters()}
    with adapted(backbone, read_adapter(adapter), scale=1.0):
        loaded = {id(tensor) for hook in _hooks(backbone.network) for tensor in weights_of(hook.group)}
        added = [row for row in backbone.network.named_parameters() if row[0] not in before]
        assert added
        return [name for name, tensor in added if not tensor.is_meta and id(tensor) not in loaded]
