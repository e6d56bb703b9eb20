"""Parameters, operations and activations of networks that have no memory for their weights."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.torchvision_compat import ensure_torchvision_imports

# First of all, for the scripts that import diffusers.
ensure_torchvision_imports()

LONG: Final = 1000
"""Tokens from which an attention matrix is one of images, which fused kernels do not store."""


def build(networks: Mapping[str, Callable[[], nn.Module]]) -> dict[str, Any]:
    """Build the networks without memory for their weights."""
    with torch.device("meta"):
        return {part: make_network() for part, make_network in networks.items()}


def empty(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def gigabytes(network: nn.Module) -> float:
    """Weights and buffers in bf16."""
    return 2 * (parameters(network) + sum(b.numel() for b in network.buffers())) / 1e9


def largest_layer(network: nn.Module) -> float:
    """Gigabytes in bf16 of the layer with the most weights."""
    own = (module.parameters(recurse=False) for module in network.modules())
    return 2 * max(sum(p.numel() for p in weights) for weights in own) / 1e9


def tflop(call: Callable[[], object], transformer: nn.Module | None = None) -> float:
    """Count the operations of a call, a multiplication and an addition as two.

    Equal blocks of `transformer` run once and are multiplied.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if transformer is not None:
            return extrapolated(transformer, call, counter.get_total_flops) / 1e12
        call()
        return counter.get_total_flops() / 1e12


@contextmanager
def distinct_blocks(network: nn.Module) -> Iterator[dict[nn.Module, int]]:
    """Leave one of the equal blocks in every list of blocks; yields the number of each.

    Even on the meta device a block takes 50 ms. In a transformer, equal blocks have inputs of one shape and
    so the same costs.
    """
    lists = [
        (parent, name, blocks)
        for parent in network.modules()
        for name, blocks in parent.named_children()
        if isinstance(blocks, nn.ModuleList) and len({repr(block) for block in blocks}) < len(blocks)
    ]
    numbers: dict[nn.Module, int] = {}
    for parent, name, blocks in lists:
        count = Counter(map(repr, blocks))
        first = {repr(block): block for block in reversed(blocks)}
        kept = sorted(first.values(), key=list(blocks).index)
        numbers |= {block: count[repr(block)] for block in kept}
        setattr(parent, name, nn.ModuleList(kept))
    try:
        yield numbers
    finally:
        for parent, name, blocks in lists:
            setattr(parent, name, blocks)


def extrapolated(network: nn.Module, call: Callable[[], object], reading: Callable[[], float]) -> float:
    """Return what a cumulative `reading` would be after a call that runs all of the equal blocks."""
    starts: list[float] = []
    rest = 0.0

    def before(*_: object) -> None:
        starts.append(reading())

    with distinct_blocks(network) as numbers, ExitStack() as hooks:

        def after(block: nn.Module, *_: object) -> None:
            nonlocal rest
            rest += (numbers[block] - 1) * (reading() - starts[-1])

        for block in numbers:
            hooks.callback(block.register_forward_pre_hook(before).remove)
            hooks.callback(block.register_forward_hook(after).remove)
        call()
    return reading() + rest


class SavedTensors(torch.autograd.graph.saved_tensors_hooks):
    """Context that records what autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.found: dict[int, Tensor] = {}
        super().__init__(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        # Views of one storage count once.
        self.found[tensor.untyped_storage()._cdata] = tensor
        return tensor

    def gigabytes(self, network: nn.Module) -> float:
        """Gigabytes in fp32 without the network's weights and without attention matrices of images."""
        weights = {p.untyped_storage()._cdata for p in network.parameters()}
        kept = [t for key, t in self.found.items() if key not in weights]
        stored = [t for t in kept if t.dim() < 3 or min(t.shape[-2:]) < LONG or t.shape[-1] != t.shape[-2]]
        return sum(t.untyped_storage().nbytes() for t in stored) / 1e9


def saved_gigabytes(network: nn.Module, call: Callable[[], object]) -> float:
    """Gigabytes in fp32 that a call of the network keeps for its backward pass."""
    found = SavedTensors()
    with found:
        return extrapolated(network, call, lambda: found.gigabytes(network))


def transformer_activations(network: nn.Module, call: Callable[[], object]) -> tuple[float, float]:
    """Gigabytes in fp32 with gradient checkpointing: inputs of all blocks, and the largest block's own."""
    kept: list[float] = []
    saved: list[SavedTensors] = []

    def after(*_: object) -> None:
        saved[-1].__exit__()

    with distinct_blocks(network) as numbers, ExitStack() as hooks:

        def before(block: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            tensors = [value for value in (*args, *named.values()) if isinstance(value, Tensor)]
            kept.append(numbers[block] * sum(tensor.numel() * 4 for tensor in tensors) / 1e9)
            saved.append(SavedTensors())
            saved[-1].__enter__()

        for block in numbers:
            hooks.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(block.register_forward_hook(after).remove)
        call()
    return sum(kept), max(found.gigabytes(network) for found in saved)
