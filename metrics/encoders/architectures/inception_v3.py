"""Inception-v3 (Szegedy et al. 2016) as trained on 2015-12-05, with the names of torch-fidelity's file.

It differs from torchvision's: average pooling leaves out the padding, the last block has maximum pooling
instead, and there are 1008 classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

CLASSES: Final = 1008
WIDTH: Final = 2048
"""Number of pooled features."""


class Conv(NamedTuple):
    """A convolution, normalised and rectified; padded to keep the size, except with stride 2."""

    name: str
    width: int
    kernel: tuple[int, int]
    stride: int = 1


AVERAGE: Final = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
MAXIMUM: Final = nn.MaxPool2d(3, 1, padding=1)
HALVING: Final = nn.MaxPool2d(3, 2)
Step = Conv | nn.Module | tuple[Conv, Conv]
"""A layer of a branch; two convolutions of the same input can be its last."""


class InceptionV3(nn.Module):
    """`layers` are those up to the pooled features, N x 2048 x 1 x 1; `output` gives the logits."""

    def __init__(self) -> None:
        super().__init__()
        first = (
            ("Conv2d_1a_3x3", _convolution(3, 32, (3, 3), 2, padded=False)),
            ("Conv2d_2a_3x3", _convolution(32, 32, (3, 3), 1, padded=False)),
            ("Conv2d_2b_3x3", _convolution(32, 64, (3, 3), 1)),
            ("MaxPool_1", HALVING),
            ("Conv2d_3b_1x1", _convolution(64, 80, (1, 1), 1)),
            ("Conv2d_4a_3x3", _convolution(80, 192, (3, 3), 1, padded=False)),
            ("MaxPool_2", HALVING),
        )
        self.layers = nn.Sequential()
        for name, layer in first:
            self.layers.add_module(name, layer)
        width = 192
        for name, branches in BLOCKS.items():
            block = Block(width, branches)
            self.layers.add_module(name, block)
            width = block.width
        self.layers.add_module("AvgPool", nn.AdaptiveAvgPool2d(1))
        self.output = nn.Linear(WIDTH, CLASSES)

    def load_published(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a file's tensors; raises RuntimeError where names or shapes differ."""
        self.load_state_dict({_own_name(name): tensor for name, tensor in tensors.items()})


class Block(nn.Module):
    """Parallel branches of the same input, whose outputs are concatenated."""

    def __init__(self, channels: int, branches: Sequence[Sequence[Step]]) -> None:
        super().__init__()
        self.branches = branches
        self.width = sum(self._add(channels, branch) for branch in branches)

    def _add(self, channels: int, branch: Sequence[Step]) -> int:
        """Add a branch's layers; returns its number of output channels."""
        width = channels
        for step in branch:
            if isinstance(step, nn.Module):
                continue
            convolutions = (step,) if isinstance(step, Conv) else step
            for conv in convolutions:
                self.add_module(conv.name, _convolution(width, conv.width, conv.kernel, conv.stride))
            width = sum(conv.width for conv in convolutions)
        return width

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._branch(branch, x) for branch in self.branches], 1)

    def _branch(self, branch: Sequence[Step], x: Tensor) -> Tensor:
        for step in branch:
            if isinstance(step, nn.Module):
                x = step(x)
            elif isinstance(step, Conv):
                x = self.get_submodule(step.name)(x)
            else:
                x = torch.cat([self.get_submodule(conv.name)(x) for conv in step], 1)
        return x


def _convolution(
    channels: int, width: int, kernel: tuple[int, int], stride: int, *, padded: bool = True
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2) if padded and stride == 1 else (0, 0)
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(channels, width, kernel, stride, padding, bias=False))
    layers.add_module("bn", nn.BatchNorm2d(width, eps=1e-3))
    layers.add_module("relu", nn.ReLU())
    return layers


def _chain(name: str, *convolutions: tuple[int, int, int]) -> list[Step]:
    """Convolutions `<name>_1`, `<name>_2`, ... by width and kernel."""
    return [Conv(f"{name}_{i}", width, (h, w)) for i, (width, h, w) in enumerate(convolutions, start=1)]


def _block_35(pool: int) -> list[list[Step]]:
    """At 35 x 35."""
    return [
        [Conv("branch1x1", 64, (1, 1))],
        _chain("branch5x5", (48, 1, 1), (64, 5, 5)),
        _chain("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
        [AVERAGE, Conv("branch_pool", pool, (1, 1))],
    ]


def _block_17(inner: int) -> list[list[Step]]:
    """At 17 x 17."""
    narrow, tall, wide = (inner, 1, 1), (inner, 7, 1), (inner, 1, 7)
    return [
        [Conv("branch1x1", 192, (1, 1))],
        _chain("branch7x7", narrow, wide, (192, 7, 1)),
        _chain("branch7x7dbl", narrow, tall, wide, tall, (192, 1, 7)),
        [AVERAGE, Conv("branch_pool", 192, (1, 1))],
    ]


def _block_8(pool: nn.Module) -> list[list[Step]]:
    """At 8 x 8."""

    def split(name: str, number: str) -> Step:
        return Conv(f"{name}_{number}a", 384, (1, 3)), Conv(f"{name}_{number}b", 384, (3, 1))

    return [
        [Conv("branch1x1", 320, (1, 1))],
        [*_chain("branch3x3", (384, 1, 1)), split("branch3x3", "2")],
        [*_chain("branch3x3dbl", (448, 1, 1), (384, 3, 3)), split("branch3x3dbl", "3")],
        [pool, Conv("branch_pool", 192, (1, 1))],
    ]


BLOCKS: Final[dict[str, list[list[Step]]]] = {
    "Mixed_5b": _block_35(32),
    "Mixed_5c": _block_35(64),
    "Mixed_5d": _block_35(64),
    "Mixed_6a": [
        [Conv("branch3x3", 384, (3, 3), 2)],
        [*_chain("branch3x3dbl", (64, 1, 1), (96, 3, 3)), Conv("branch3x3dbl_3", 96, (3, 3), 2)],
        [HALVING],
    ],
    "Mixed_6b": _block_17(128),
    "Mixed_6c": _block_17(160),
    "Mixed_6d": _block_17(160),
    "Mixed_6e": _block_17(192),
    "Mixed_7a": [
        [*_chain("branch3x3", (192, 1, 1)), Conv("branch3x3_2", 320, (3, 3), 2)],
        [
            *_chain("branch7x7x3", (192, 1, 1), (192, 1, 7), (192, 7, 1)),
            Conv("branch7x7x3_4", 192, (3, 3), 2),
        ],
        [HALVING],
    ],
    "Mixed_7b": _block_8(AVERAGE),
    "Mixed_7c": _block_8(MAXIMUM),
}


def _own_name(name: str) -> str:
    return name.replace("fc.", "output.", 1) if name.startswith("fc.") else f"layers.{name}"
