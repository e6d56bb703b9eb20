"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excitation), with its published parameter names."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

STAGES: Final = (
    # expansion, kernel, stride, channels, repeats
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
FEATURE_BLOCKS: Final = {2: 24, 4: 40, 10: 112, 15: 320}
"""Blocks (from 0) whose outputs are the feature maps, with their channels: the last of each resolution."""


class Output(NamedTuple):
    """Outputs of one forward pass for B images."""

    maps: list[Tensor]
    """Feature maps of the blocks in FEATURE_BLOCKS, at 56, 28, 14 and 7 pixels."""
    pooled: Tensor
    """B x 1280."""
    logits: Tensor
    """B x 1000, the ImageNet classes."""


class EfficientNetLite0(nn.Module):
    """Parameter names are those of the published file, which therefore loads without renaming."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, before = [], 32
        for expansion, kernel, stride, channels, repeats in STAGES:
            for repeat in range(repeats):
                blocks.append(Block(before, channels, expansion, kernel, stride if repeat == 0 else 1))
                before = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images: Tensor) -> Output:
        """B x 3 x 224 x 224, RGB, scaled as (value - 127) / 128."""
        x, maps = _relu6(self._bn0(self._conv_stem(images))), []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in FEATURE_BLOCKS:
                maps.append(x)
        pooled = _relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return Output(maps, pooled, self._fc(pooled))

    def fold(self) -> None:
        """Merge each batch norm, in evaluation mode, into the preceding convolution, to save computation."""
        _fold(self, "_conv_stem", "_bn0")
        for block in self._blocks:
            _fold(block, "_expand_conv", "_bn0")
            _fold(block, "_depthwise_conv", "_bn1")
            _fold(block, "_project_conv", "_bn2")
        _fold(self, "_conv_head", "_bn1")


class Block(nn.Module):
    """An inverted residual (Sandler et al. 2018)."""

    def __init__(self, before: int, after: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = before * expansion
        self._expand_conv = nn.Conv2d(before, wide, 1, bias=False) if expansion > 1 else None
        self._bn0 = nn.BatchNorm2d(wide, eps=1e-3) if expansion > 1 else None
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self._project_conv = nn.Conv2d(wide, after, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(after, eps=1e-3)
        self._adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self._expand_conv is not None and self._bn0 is not None:
            y = _relu6(self._bn0(self._expand_conv(y)))
        y = _relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        z: Tensor = x + y if self._adds else y
        return z


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding: an odd pixel is added at the right and the bottom."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (step, _) = self.kernel_size, self.stride
        height, width = (max(kernel - (side % step or step), 0) for side in x.shape[-2:])
        if height % 2 == width % 2 == 0:
            padding = (height // 2, width // 2)
            return torch.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)
        padded = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return torch.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _relu6(x: Tensor) -> Tensor:
    """In place: the input is always the fresh output of a convolution or a batch norm."""
    return F.relu6(x, inplace=True)


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    conv = getattr(module, convolution)
    if conv is None:
        return
    setattr(module, convolution, fuse_conv_bn_eval(conv, getattr(module, norm)))
    setattr(module, norm, nn.Identity())
