"""The trainable keys and values of image tokens in every attention layer of the backbone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.token_layers import TokenSlot


class Adapter(nn.Module):
    """The layers that read image tokens, in the order of the backbone's processors."""

    def __init__(self, attention: AdapterAttention) -> None:
        super().__init__()
        self.slot = TokenSlot()
        layers = attention.token_layers(self.slot)
        self.names = list(layers)
        self.layers = nn.ModuleList(layers.values())

    def zero_init(self) -> None:
        """Zero the image values, so that training starts at the loss of the backbone alone.

        With the text's values, about a hundred steps are spent on undoing the effect of random tokens.
        """
        for layer in self.layers:
            torch.nn.init.zeros_(layer.to_v_ip.weight)  # type: ignore[union-attr,arg-type]

    @contextmanager
    def attached(self, attention: AdapterAttention, *, scale: float) -> Iterator[TokenSlot]:
        """Attach the layers to the backbone; yields the slot to fill before a pass. Detaches them on exit."""
        scale_before = self.slot.scale
        self.slot.scale = scale
        self.slot.fill()
        begin_pass = attention.network.register_forward_pre_hook(lambda *_: self.slot.begin_pass())
        try:
            with attention.replaced(dict(zip(self.names, self.layers, strict=True))):
                yield self.slot
        finally:
            begin_pass.remove()
            self.slot.scale = scale_before
            self.slot.fill()
