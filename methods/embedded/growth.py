"""Trained networks with more latent channels than they were made with: what they know is kept.

The first channels go on meaning what they meant; the new ones begin at nothing in the U-Net and at small
weights in the autoencoder, and learn what the first could not hold. So a training of hours is not thrown away
when its latent turns out too narrow (function-preserving growth: Chen, Goodfellow & Shlens 2016, Net2Net).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.torchvision_ops import ensure_torchvision_imports
from methods.embedded.autoencoder import new_autoencoder
from methods.interface import MethodError

ensure_torchvision_imports()

from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: E402

FAINT = 0.3
"""The new latent channels' first weights in the decoder, as a share of freshly drawn ones."""
SURE = -4.0
"""The new latent channels' first log variance: nearly no noise."""


@torch.no_grad()
def grown_autoencoder(old: AutoencoderKL, channels: int) -> AutoencoderKL:
    """`old` with a latent of `channels`; raises MethodError where that is not more than it has.

    Its encoder says 2 x channels numbers a place, means before log variances, so the old ones' rows move.
    """
    before = _fewer(old.config.latent_channels, channels)
    widths = tuple(old.config.block_out_channels)
    new = new_autoencoder(widths=widths, channels=channels, size=old.config.sample_size)
    for name, part in old.named_parameters():
        mine = new.get_parameter(name)
        if mine.shape == part.shape:
            mine.copy_(part)
    rows = torch.tensor([*range(before), *range(channels, channels + before)])
    out: Any = new.encoder.conv_out
    given: Any = old.encoder.conv_out
    out.weight[rows], out.bias[rows] = given.weight, given.bias
    moments = _identity(new.quant_conv)
    moments.bias[channels:] = SURE
    moments.weight[rows[:, None], rows] = old.quant_conv.weight
    moments.bias[rows] = old.quant_conv.bias
    latent = _identity(new.post_quant_conv)
    latent.weight[:before, :before] = old.post_quant_conv.weight
    latent.bias[:before] = old.post_quant_conv.bias
    entry: Tensor = new.decoder.conv_in.weight
    entry[:, before:] *= FAINT
    entry[:, :before] = old.decoder.conv_in.weight
    return new


@torch.no_grad()
def grown_unet(old: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """`old` for a latent of `channels`: at first it overlooks the new ones and predicts nothing in them."""
    before = _fewer(old.config.in_channels, channels)
    new = UNet2DConditionModel.from_config({**old.config, "in_channels": channels, "out_channels": channels})
    widened = ("conv_in.", "conv_out.")
    for name, part in old.named_parameters():
        mine = new.get_parameter(name)
        if not name.startswith(widened) or mine.shape == part.shape:
            mine.copy_(part)
    for side in (new.conv_in.weight, new.conv_out.weight, new.conv_out.bias):
        side.zero_()
    new.conv_in.weight[:, :before] = old.conv_in.weight
    new.conv_out.weight[:before] = old.conv_out.weight
    new.conv_out.bias[:before] = old.conv_out.bias
    return new


def _fewer(before: int, channels: int) -> int:
    if channels <= before:
        raise MethodError(f"a latent of {before} channels cannot grow to {channels}; give more than {before}")
    return before


def _identity(layer: Any) -> Any:
    """A 1 x 1 convolution that changes nothing."""
    layer.weight.copy_(torch.eye(layer.out_channels)[:, :, None, None])
    if layer.bias is not None:
        layer.bias.zero_()
    return layer
