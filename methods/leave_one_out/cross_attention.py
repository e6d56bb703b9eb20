"""How a person's tokens enter the U-Net: decoupled cross-attention (Ye et al. 2023, eq. 5), row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.errors import MethodError
from methods.leave_one_out.aggregators import AggregatedTokens


class Slot:
    """Where a forward pass finds the image tokens of its rows."""

    gathered: AggregatedTokens | None = None
    scale: float = 1.0


class DecoupledAttention(nn.Module):
    """Cross-attention to the text plus, scaled, cross-attention of the same queries to the image tokens.

    diffusers' own processor gives every row of a batch the same image; here each prompt of a batch
    may weigh the photos differently.
    """

    def __init__(self, slot: Slot, width: int, inner: int) -> None:
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
            raise MethodError("leave-one-out: this U-Net's cross-attention is of another kind than SD 1.5's")
        query = attn.to_q(hidden_states)
        text = (
            attn.norm_encoder_hidden_states(encoder_hidden_states)
            if attn.norm_cross
            else encoder_hidden_states
        )
        read = _attend(query, attn.to_k(text), attn.to_v(text), None, attn.heads)
        gathered = self.slot.gathered
        if gathered is not None and self.slot.scale != 0:
            if len(gathered.tokens) != len(hidden_states):
                raise MethodError(
                    f"leave-one-out: {len(gathered.tokens)} rows of tokens for {len(hidden_states)} pictures"
                )
            keys, values = self.to_k_ip(gathered.tokens), self.to_v_ip(gathered.tokens)
            image = _attend(query, keys.to(query.dtype), values.to(query.dtype), gathered.keep, attn.heads)
            read = read + self.slot.scale * image
        read = attn.to_out[1](attn.to_out[0](read))
        if attn.residual_connection:
            read = read + hidden_states
        output: Tensor = read / attn.rescale_output_factor
        return output


class Adapter(nn.Module):
    """The new keys and values of every cross-attention layer, in the order of the U-Net's processors."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.slot = Slot()
        self.names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        self.layers = nn.ModuleList()
        for name in self.names:
            attention = unet.get_submodule(name.removesuffix(".processor"))
            layer = DecoupledAttention(self.slot, attention.to_k.in_features, attention.to_k.out_features)
            # As published: image tokens start where text tokens are understood.
            with torch.no_grad():
                layer.to_k_ip.weight.copy_(attention.to_k.weight)
                layer.to_v_ip.weight.copy_(attention.to_v.weight)
            self.layers.append(layer)

    def zero_init(self) -> None:
        """Let the photographs say nothing yet: training starts at the backbone's own loss.

        With the text's values at the start, the first hundred steps only undo what random tokens break.
        """
        for layer in self.layers:
            torch.nn.init.zeros_(layer.to_v_ip.weight)  # type: ignore[union-attr,arg-type]

    @contextmanager
    def on(self, unet: Any, *, scale: float) -> Iterator[Slot]:
        """Put the layers into the U-Net and take them out again; yields the slot to fill before each pass."""
        before, scale_before = dict(unet.attn_processors), self.slot.scale
        self.slot.scale, self.slot.gathered = scale, None
        placed = dict(zip(self.names, self.layers, strict=True))
        unet.set_attn_processor({name: placed.get(name, own) for name, own in before.items()})
        try:
            yield self.slot
        finally:
            unet.set_attn_processor(before)
            self.slot.scale, self.slot.gathered = scale_before, None


def guided(nothing: AggregatedTokens, wanted: AggregatedTokens) -> AggregatedTokens:
    """Rows for classifier-free guidance: as many without an image as with one, in the pipeline's order."""
    length = max(nothing.tokens.shape[1], wanted.tokens.shape[1])
    halves = [_padded(half, length) for half in (nothing, wanted)]
    keep = torch.cat([half.keep for half in halves])  # type: ignore[misc]  # _padded always sets it
    return AggregatedTokens(torch.cat([half.tokens for half in halves]), None if bool(keep.all()) else keep)


def _padded(gathered: AggregatedTokens, length: int) -> AggregatedTokens:
    tokens, keep = gathered
    if keep is None:
        keep = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    more = length - tokens.shape[1]
    return AggregatedTokens(F.pad(tokens, (0, 0, 0, more)), F.pad(keep, (0, more), value=False))


def _attend(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, heads: int) -> Tensor:
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    mask = None if keep is None else keep[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
