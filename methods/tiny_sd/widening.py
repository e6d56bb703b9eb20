"""Trained networks with more to them than they were made with: what they know is kept.

A latent's first channels go on meaning what they meant; new ones begin at nothing in the U-Net and at small
weights in the autoencoder, and learn what the first could not hold. New attention begins by adding nothing.
So a training of hours is not thrown away when the network turns out too narrow (function-preserving growth:
Chen, Goodfellow & Shlens 2016, Net2Net).
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from methods.errors import MethodError
from methods.tiny_sd.autoencoder import new_autoencoder

FAINT = 0.3
"""The new latent channels' first weights in the decoder, as a share of freshly drawn ones."""


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
def grown_unet(old: UNet2DConditionModel, new: UNet2DConditionModel) -> UNet2DConditionModel:
    """`new`, untrained, made to predict what `old` does: nothing in latent channels that `old` lacks.

    Attention where `old` has none begins by adding nothing. Raises MethodError where `new` lacks a part of
    `old`, has it in another size, or has fewer latent channels.
    """
    before = old.config.in_channels
    if before > new.config.in_channels:
        raise MethodError(f"a latent of {before} channels cannot grow to {new.config.in_channels}")
    theirs = dict(old.named_parameters())
    for name, mine in new.named_parameters():
        if name not in theirs:
            if ".attentions." not in name:
                raise MethodError(f"{name}: the network to go on from has no such part")
            if ".proj_out." in name:
                mine.zero_()
            continue
        part = theirs.pop(name)
        if name == "conv_in.weight":
            mine.zero_()[:, :before] = part
        elif name in ("conv_out.weight", "conv_out.bias"):
            mine.zero_()[:before] = part
        elif mine.shape == part.shape:
            mine.copy_(part)
        else:
            raise MethodError(f"{name}: {tuple(part.shape)} does not fit {tuple(mine.shape)}")
    if theirs:
        raise MethodError(f"{next(iter(theirs))}: part of the network to go on from, but not of the new one")
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
