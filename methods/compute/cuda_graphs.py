"""Training passes of a small network as CUDA graphs, whose kernels are launched all at once."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

MOST_SHAPES: Final = 4
"""Graphs per network; each holds the memory of a whole pass."""


class GraphedNetwork:
    """Calls a network whose one output is trained on; on a GPU, as a CUDA graph for each shape of the inputs.

    The kernels of a small network take less time than their launches, which a graph saves. Forward and
    backward pass are recorded at the first call with a shape, in the autocast of that call. Inputs of more
    than `MOST_SHAPES` shapes run without a graph, as everything on a CPU.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.graphs: dict[tuple[object, ...], nn.Module] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The network's output for tensors on one device; overwritten by the next call with this shape."""
        key = tuple((each.shape, each.dtype, each.requires_grad) for each in inputs)
        if inputs[0].device.type == "cuda" and key not in self.graphs and len(self.graphs) < MOST_SHAPES:
            self.graphs[key] = _recorded(self.network, inputs)
        output: Tensor = self.graphs.get(key, self.network)(*inputs)
        return output


class _Call(nn.Module):
    """The network under a forward function of its own, which recording replaces."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.network(*inputs)
        return output


def _recorded(network: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    samples = tuple(each.detach().clone().requires_grad_(each.requires_grad) for each in inputs)
    # A graph must not read autocast's cache of weights, which the next step replaces.
    with torch.autocast(
        "cuda",
        dtype=torch.get_autocast_dtype("cuda"),
        enabled=torch.is_autocast_enabled("cuda"),
        cache_enabled=False,
    ):
        graphed = torch.cuda.make_graphed_callables(_Call(network), samples, allow_unused_input=True)
    assert isinstance(graphed, nn.Module)
    return graphed
