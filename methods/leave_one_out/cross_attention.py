"""Decoupled cross-attention (Ye et al. 2023, eq. 5) with separate image tokens for each row of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.backbone.attention.unet import UNetAttention
from methods.errors import MethodError
from methods.leave_one_out.aggregators import AggregatedTokens, attend


class TokenSlot:
    """The image tokens of the current forward pass, shared by all layers."""

    aggregated: AggregatedTokens | None = None
    scale: float = 1.0


class DecoupledAttention(nn.Module):
    """Cross-attention to the text plus scaled cross-attention of the same queries to the image tokens.

    diffusers' own processor uses the same image tokens for every row of a batch. Here they differ, because
    an aggregator can weight the photos by the prompt.
    """

    def __init__(self, slot: TokenSlot, width: int, inner: int) -> None:
        super().__init__()
        self.slot = slot
        self.to_k_ip = nn.Linear(width, inner, bias=False)
        self.to_v_ip = nn.Linear(width, inner, bias=False)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        if hidden_states.dim() != 3 or encoder_hidden_states is None or attention_mask is not None:
            raise MethodError("leave-one-out: this U-Net's cross-attention differs from SD 1.5's")
        query = attn.to_q(hidden_states)
        text = (
            attn.norm_encoder_hidden_states(encoder_hidden_states)
            if attn.norm_cross
            else encoder_hidden_states
        )
        output = attend(query, attn.to_k(text), attn.to_v(text), None, attn.heads)
        aggregated = self.slot.aggregated
        if aggregated is not None and self.slot.scale != 0:
            if len(aggregated.tokens) != len(hidden_states):
                raise MethodError(
                    f"leave-one-out: {len(aggregated.tokens)} rows of tokens for {len(hidden_states)} images"
                )
            keys, values = self.to_k_ip(aggregated.tokens), self.to_v_ip(aggregated.tokens)
            image = attend(query, keys.to(query.dtype), values.to(query.dtype), aggregated.mask, attn.heads)
            output = output + self.slot.scale * image
        output = attn.to_out[1](attn.to_out[0](output))
        if attn.residual_connection:
            output = output + hidden_states
        rescaled: Tensor = output / attn.rescale_output_factor
        return rescaled


class Adapter(nn.Module):
    """The image keys and values of every cross-attention layer, in the order of the U-Net's processors."""

    def __init__(self, attention: UNetAttention) -> None:
        super().__init__()
        self.slot = TokenSlot()
        self.names = list(attention.cross_attention)
        self.layers = nn.ModuleList()
        for module in attention.cross_attention.values():
            layer = DecoupledAttention(self.slot, module.to_k.in_features, module.to_k.out_features)
            # As published, image keys and values start as a copy of the text's.
            with torch.no_grad():
                layer.to_k_ip.weight.copy_(module.to_k.weight)
                layer.to_v_ip.weight.copy_(module.to_v.weight)
            self.layers.append(layer)

    def zero_init(self) -> None:
        """Zero the image values, so that training starts at the loss of the backbone alone.

        With the text's values, about a hundred steps are spent on undoing the effect of random tokens.
        """
        for layer in self.layers:
            torch.nn.init.zeros_(layer.to_v_ip.weight)  # type: ignore[union-attr,arg-type]

    @contextmanager
    def attached(self, attention: UNetAttention, *, scale: float) -> Iterator[TokenSlot]:
        """Attach the layers to the U-Net; yields the slot to fill before each pass. Detaches them on exit."""
        scale_before = self.slot.scale
        self.slot.scale, self.slot.aggregated = scale, None
        try:
            with attention.replaced(dict(zip(self.names, self.layers, strict=True))):
                yield self.slot
        finally:
            self.slot.scale, self.slot.aggregated = scale_before, None


def guidance_batch(unconditional: AggregatedTokens, conditional: AggregatedTokens) -> AggregatedTokens:
    """Rows for classifier-free guidance: unconditional rows first, as in the pipeline."""
    length = max(unconditional.tokens.shape[1], conditional.tokens.shape[1])
    halves = [_padded(half, length) for half in (unconditional, conditional)]
    mask = torch.cat([half.mask for half in halves])  # type: ignore[misc]  # _padded always sets it
    return AggregatedTokens(torch.cat([half.tokens for half in halves]), None if bool(mask.all()) else mask)


def _padded(aggregated: AggregatedTokens, length: int) -> AggregatedTokens:
    tokens, mask = aggregated
    if mask is None:
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    padding = length - tokens.shape[1]
    return AggregatedTokens(F.pad(tokens, (0, 0, 0, padding)), F.pad(mask, (0, padding), value=False))
