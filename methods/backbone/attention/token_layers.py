"""Image tokens of each row of a batch, added to a backbone's attention by decoupled attention.

Decoupled attention is that of Ye et al. 2023, eq. 5: the queries also attend to the image tokens by keys and
values of their own, and the scaled result is added. diffusers' own layers use the same image tokens for every
row of a batch. Here they differ, because an aggregator can weight the photographs by the prompt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.errors import MethodError


class ImageTokens(NamedTuple):
    """The image tokens of each row of a batch."""

    tokens: Tensor
    """(B, K, D)."""
    mask: Tensor | None
    """(B, K), False for padding; None if there is no padding."""


class TokenSlot:
    """The image tokens that all layers of a network read."""

    def __init__(self) -> None:
        self.scale = 1.0
        self._passes: tuple[ImageTokens, ...] = ()
        self._current = 0

    def fill(self, *passes: ImageTokens) -> None:
        """Set the tokens of the next passes of the network, in turn; of none to remove them."""
        # So that the first pass gets the first tokens; a single pass changes no number, which a compiled
        # network would have to be compiled again for.
        self._passes, self._current = passes, max(0, len(passes) - 1)

    def begin_pass(self) -> None:
        """Go to the tokens of the next pass; after the last, to those of the first."""
        if self._passes:
            self._current = (self._current + 1) % len(self._passes)

    @property
    def image(self) -> ImageTokens | None:
        """The tokens of the current pass."""
        return self._passes[self._current] if self._passes else None


class TokenLayer(nn.Module, ABC):
    """The processor of one attention layer, with trainable keys and values of image tokens.

    Tokens are as wide as the inputs of the text's keys. As published, keys and values start as a copy of the
    text's, and so does the normalisation of keys where the backbone has one.
    """

    def __init__(self, slot: TokenSlot, key: nn.Linear, value: nn.Linear, key_norm: Any = None) -> None:
        super().__init__()
        self.slot = slot
        self.to_k_ip = nn.Linear(key.in_features, key.out_features, bias=False)
        self.to_v_ip = nn.Linear(value.in_features, value.out_features, bias=False)
        self.norm_k_ip = None if key_norm is None else nn.RMSNorm(len(key_norm.weight), eps=1e-6)
        with torch.no_grad():
            self.to_k_ip.weight.copy_(key.weight)
            self.to_v_ip.weight.copy_(value.weight)
            if self.norm_k_ip is not None:
                self.norm_k_ip.weight.copy_(key_norm.weight)

    @abstractmethod
    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As diffusers' processor of the layer; without image tokens or at scale 0 exactly its output."""

    @property
    def is_active(self) -> bool:
        """Whether there are image tokens to attend to."""
        return self.slot.image is not None and self.slot.scale != 0

    def attended(self, queries: Tensor, heads: int) -> Tensor:
        """Scaled attention of each row's queries (B, S, D) to its image tokens: (B, S, D)."""
        image = self.slot.image
        assert image is not None
        if len(image.tokens) != len(queries):
            raise MethodError(f"leave-one-out: {len(image.tokens)} rows of tokens for {len(queries)} images")
        keys, values = self.to_k_ip(image.tokens), self.to_v_ip(image.tokens)
        if self.norm_k_ip is not None:
            keys = self.norm_k_ip(keys.float().unflatten(2, (heads, -1))).flatten(2)
        attention = attend(queries, keys.to(queries.dtype), values.to(queries.dtype), image.mask, heads)
        return self.slot.scale * attention


def image_queries(attn: Any, hidden_states: Tensor) -> Tensor:
    """The queries of a transformer's latents (B, S, D), normalised as in its own attention, unrotated."""
    queries: Tensor = attn.to_q(hidden_states)
    if attn.norm_q is not None:
        queries = attn.norm_q(queries.unflatten(2, (attn.heads, -1))).flatten(2)
    return queries


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """Multihead attention of (B, K, D) over (B, S, D); `mask` (B, S) is False for padding."""
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    attn_mask = None if mask is None else mask[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).transpose(1, 2).flatten(2)


def guidance_batch(unconditional: ImageTokens, conditional: ImageTokens) -> ImageTokens:
    """Rows for classifier-free guidance in one pass: unconditional rows first, as in the pipeline."""
    length = max(unconditional.tokens.shape[1], conditional.tokens.shape[1])
    halves = [_padded(half, length) for half in (unconditional, conditional)]
    mask = torch.cat([half.mask for half in halves])  # type: ignore[misc]  # _padded always sets it
    return ImageTokens(torch.cat([half.tokens for half in halves]), None if bool(mask.all()) else mask)


def _padded(image: ImageTokens, length: int) -> ImageTokens:
    tokens, mask = image
    if mask is None:
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    padding = length - tokens.shape[1]
    return ImageTokens(F.pad(tokens, (0, 0, 0, padding)), F.pad(mask, (0, padding), value=False))
