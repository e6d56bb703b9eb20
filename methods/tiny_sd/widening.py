"""Initialises a larger U-Net from a trained one so that it computes the same function.

New latent channels start at zero, and new attention layers add nothing. So the training of a U-Net that turns
out too narrow is not lost (function-preserving growth: Chen, Goodfellow & Shlens 2016, Net2Net).
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel

from methods.errors import MethodError


@torch.no_grad()
def widened_unet(old: UNet2DConditionModel, new: UNet2DConditionModel) -> UNet2DConditionModel:
    """Change `new`, untrained, to predict what `old` predicts, and zero in additional latent channels.

    Attention layers that `old` lacks add nothing. Raises MethodError where `new` lacks a part of `old`, has
    it in another size, or has fewer latent channels.
    """
    before = old.config.in_channels
    if before > new.config.in_channels:
        raise MethodError(f"a latent of {before} channels cannot be widened to {new.config.in_channels}")
    remaining = dict(old.named_parameters())
    for name, target in new.named_parameters():
        if name not in remaining:
            if ".attentions." not in name:
                raise MethodError(f"{name}: missing in the network to start from")
            if ".proj_out." in name:
                target.zero_()
            continue
        source = remaining.pop(name)
        if name == "conv_in.weight":
            target.zero_()[:, :before] = source
        elif name in ("conv_out.weight", "conv_out.bias"):
            target.zero_()[:before] = source
        elif target.shape == source.shape:
            target.copy_(source)
        else:
            raise MethodError(f"{name}: {tuple(source.shape)} does not fit {tuple(target.shape)}")
    if remaining:
        raise MethodError(f"{next(iter(remaining))}: in the network to start from, but not in the new one")
    return new
