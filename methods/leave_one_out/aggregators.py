"""How the tokens of several photographs become the tokens of one person: one class an answer, one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AggregatedTokens(NamedTuple):
    """What a set of photographs says together."""

    tokens: Tensor
    """(B, K, D)."""
    keep: Tensor | None
    """(B, K), False where a token is padding; None where every token counts."""


class Aggregator(Protocol):
    """Joins sets of photographs; the leave-one-out network calls it, as a module, for a whole batch.

    In: per-photo tokens (B, n, T, D), per-photo caption features (B, n, C), features of the wanted
    caption (B, C), and which of the n photos there are (B, n), at least one in each row.
    The order of the photos and what stands in absent ones changes nothing.
    """

    def __call__(
        self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor
    ) -> AggregatedTokens: ...

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        """The same joining for pictures (B, n, c, h, w) -> (B, c, h, w), for `noising="aggregate"`."""
        ...


class Mean(nn.Module):
    """The mean of each token over the photos."""

    def forward(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        return AggregatedTokens(masked_mean(tokens, mask), None)

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


class Max(nn.Module):
    """The largest value of each feature over the photos."""

    def forward(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        return AggregatedTokens(masked_max(tokens, mask), None)

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        return masked_max(latents, mask)


class Median(nn.Module):
    """The middle value of each feature over the photos; of an even number, the mean of the middle two."""

    def forward(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        return AggregatedTokens(masked_median(tokens, mask), None)

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        return masked_median(latents, mask)


class DeepSets(nn.Module):
    """rho(mean_i phi(x_i)) (Zaheer et al. 2017), token by token, beside the plain mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.rho = zero_linear(nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        pooled = masked_mean(self.phi(tokens), mask)
        return AggregatedTokens(masked_mean(tokens, mask) + self.rho(pooled), None)

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


class Attention(nn.Module):
    """Learned queries attend to all tokens of all photos (Lee et al. 2019, pooling by attention)."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, count, width) / width**0.5)
        self.heads = heads_for(width)
        self.before = nn.LayerNorm(width)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = zero_linear(nn.Linear(width, width))
        self.after = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.out = zero_linear(nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        tokens = tokens.masked_fill(~mask[:, :, None, None], 0)
        keys = self.before(tokens.flatten(1, 2))
        queries = self.queries.expand(len(tokens), -1, -1)
        seen = mask.repeat_interleave(tokens.shape[2], dim=1)
        read = attend(self.to_q(queries), self.to_k(keys), self.to_v(keys), seen, self.heads)
        gathered = masked_mean(tokens, mask) + self.to_out(read)
        return AggregatedTokens(gathered + self.out(self.after(gathered)), None)

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


class CaptionAttention(nn.Module):
    """Queries from the wanted caption, keys from each photo's: what shows what is asked for weighs more.

    Each of `count` tokens weighs the photos for itself, by a query of its own.
    """

    def __init__(self, width: int, caption_width: int, count: int, key_width: int = 64) -> None:
        super().__init__()
        self.count = count
        self.normal = nn.LayerNorm(caption_width)
        self.to_q = nn.Linear(caption_width, count * key_width)
        self.to_k = nn.Linear(caption_width, key_width)
        # All photos weigh nearly the same until their captions turn out to matter.
        nn.init.normal_(self.to_k.weight, std=0.01)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.out = zero_linear(nn.Linear(2 * width, width))

    def weights(self, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        """The share of each photo in each token: (B, count, n), summing to 1 over the photos there are."""
        queries = self.to_q(self.normal(wanted)).unflatten(1, (self.count, -1))
        keys = self.to_k(self.normal(captions))
        logits = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
        weights: Tensor = logits.float().masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)
        return weights.to(logits.dtype)

    def forward(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        weights = self.weights(captions, wanted, mask)
        present = tokens.masked_fill(~mask[:, :, None, None], 0)
        gathered = torch.einsum("bkn,bnkd->bkd", weights, present.to(weights.dtype))
        return AggregatedTokens(gathered + self.out(self.mix(gathered)), None)

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        weights = self.weights(captions, wanted, mask).mean(dim=1)
        present = latents.masked_fill(~mask[:, :, None, None, None], 0)
        return torch.einsum("bn,bnchw->bchw", weights.to(latents.dtype), present)


class Concat(nn.Module):
    """All tokens of all photos, side by side in one attention: as IP-Adapter takes several photos."""

    def forward(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        present = tokens.masked_fill(~mask[:, :, None, None], 0)
        return AggregatedTokens(present.flatten(1, 2), mask.repeat_interleave(tokens.shape[2], dim=1))

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


Build = Callable[[int, int, int], nn.Module]
"""From the width of a token, the width of a caption's feature and the tokens per photo."""

AGGREGATORS: Final[Mapping[str, Build]] = {
    "mean": lambda width, caption_width, count: Mean(),
    "max": lambda width, caption_width, count: Max(),
    "median": lambda width, caption_width, count: Median(),
    "deep-sets": lambda width, caption_width, count: DeepSets(width),
    "attention": lambda width, caption_width, count: Attention(width, count),
    "caption-attention": lambda width, caption_width, count: CaptionAttention(width, caption_width, count),
    "concat": lambda width, caption_width, count: Concat(),
}


def zero_linear(layer: nn.Linear) -> nn.Linear:
    """A layer that adds nothing until it has learnt: an untrained aggregator says what the mean says."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over axis 1 of (B, n, ...) of the rows that `mask` (B, n) keeps."""
    keep = _like(mask, x)
    return x.masked_fill(~keep, 0).sum(1) / keep.sum(1)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    return x.masked_fill(~_like(mask, x), -torch.inf).amax(1)


def masked_median(x: Tensor, mask: Tensor) -> Tensor:
    ordered = x.masked_fill(~_like(mask, x), torch.inf).sort(dim=1).values
    count = _like(mask, x).sum(1, keepdim=True).expand_as(ordered[:, :1])
    low = ordered.gather(1, (count - 1) // 2)
    high = ordered.gather(1, count // 2)
    return ((low + high) / 2).squeeze(1)


def attend(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, heads: int) -> Tensor:
    """Multihead attention of (B, K, D) over (B, S, D); `keep` (B, S) says which keys there are."""
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    read = F.scaled_dot_product_attention(q, k, v, attn_mask=keep[:, None, None])
    return read.transpose(1, 2).flatten(2)


def heads_for(width: int) -> int:
    """Heads of about 32 numbers that divide `width`."""
    return next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)


def _like(mask: Tensor, x: Tensor) -> Tensor:
    return mask.view(*mask.shape, *(1,) * (x.dim() - 2))
