"""Aggregators: combine the tokens of several photographs into the tokens of one person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from methods.backbone.attention.token_layers import ImageTokens, attend


class Aggregator(Protocol):
    """Aggregates sets of photographs; the leave-one-out network calls it, as a module, for a batch.

    Inputs: tokens per photo (B, n, T, D), caption features per photo (B, n, C), prompt features (B, C), and a
    mask of the photos that are present (B, n), at least one per row. The result does not depend on the order
    of the photos nor on the values of absent ones.
    """

    def __call__(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens: ...

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        """Aggregate latents, (B, n, c, h, w) -> (B, c, h, w), for `noising="aggregate"`."""
        ...


class Mean(nn.Module):
    """The mean of each token over the photos."""

    def forward(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        return ImageTokens(masked_mean(tokens, mask), None)

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


class Max(nn.Module):
    """The largest value of each feature over the photos."""

    def forward(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        return ImageTokens(masked_max(tokens, mask), None)

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        return masked_max(latents, mask)


class Median(nn.Module):
    """The median of each feature over the photos; for an even number, the mean of the middle two."""

    def forward(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        return ImageTokens(masked_median(tokens, mask), None)

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        return masked_median(latents, mask)


class DeepSets(nn.Module):
    """rho(mean_i phi(x_i)) (Zaheer et al. 2017), per token, added to the plain mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.rho = zero_linear(nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        pooled = masked_mean(self.phi(tokens), mask)
        return ImageTokens(masked_mean(tokens, mask) + self.rho(pooled), None)

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


class Attention(nn.Module):
    """Learned queries attend to all tokens of all photos (attention pooling, Lee et al. 2019)."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, count, width) / width**0.5)
        self.heads = heads_for(width)
        self.before = nn.LayerNorm(width)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = zero_linear(nn.Linear(width, width))
        self.after = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.out = zero_linear(nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        tokens = tokens.masked_fill(~mask[:, :, None, None], 0)
        keys = self.before(tokens.flatten(1, 2))
        queries = self.queries.expand(len(tokens), -1, -1)
        token_mask = mask.repeat_interleave(tokens.shape[2], dim=1)
        attended = attend(self.to_q(queries), self.to_k(keys), self.to_v(keys), token_mask, self.heads)
        pooled = masked_mean(tokens, mask) + self.to_out(attended)
        return ImageTokens(pooled + self.out(self.after(pooled)), None)

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


class CaptionAttention(nn.Module):
    """Queries from the prompt, keys from the photos' captions: photos that match the prompt weigh more.

    Each of the `count` tokens has its own query and thus its own weights.
    """

    def __init__(self, width: int, caption_width: int, count: int, key_width: int = 64) -> None:
        super().__init__()
        self.count = count
        self.normal = nn.LayerNorm(caption_width)
        self.to_q = nn.Linear(caption_width, count * key_width)
        self.to_k = nn.Linear(caption_width, key_width)
        # Nearly equal weights at the start of training.
        nn.init.normal_(self.to_k.weight, std=0.01)
        self.mix = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.out = zero_linear(nn.Linear(2 * width, width))

    def weights(self, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        """Weight of each photo in each token, (B, count, n); they sum to 1 over the present photos."""
        queries = self.to_q(self.normal(prompt)).unflatten(1, (self.count, -1))
        keys = self.to_k(self.normal(captions))
        logits = queries @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
        weights: Tensor = logits.float().masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)
        return weights.to(logits.dtype)

    def forward(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        weights = self.weights(captions, prompt, mask)
        present = tokens.masked_fill(~mask[:, :, None, None], 0)
        pooled = torch.einsum("bkn,bnkd->bkd", weights, present.to(weights.dtype))
        return ImageTokens(pooled + self.out(self.mix(pooled)), None)

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        weights = self.weights(captions, prompt, mask).mean(dim=1)
        present = latents.masked_fill(~mask[:, :, None, None, None], 0)
        return torch.einsum("bn,bnchw->bchw", weights.to(latents.dtype), present)


class Concat(nn.Module):
    """Concatenates the tokens of all photos, as IP-Adapter does with several photos."""

    def forward(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        present = tokens.masked_fill(~mask[:, :, None, None], 0)
        return ImageTokens(present.flatten(1, 2), mask.repeat_interleave(tokens.shape[2], dim=1))

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(latents, mask)


Build = Callable[[int, int, int], nn.Module]
"""Arguments: token width, width of a caption feature, tokens per photo."""

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
    """Zero a residual layer, so that an untrained aggregator outputs the mean."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, n, ...) over axis 1, restricted to `mask` (B, n)."""
    keep = _broadcast(mask, x)
    return x.masked_fill(~keep, 0).sum(1) / keep.sum(1)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    return x.masked_fill(~_broadcast(mask, x), -torch.inf).amax(1)


def masked_median(x: Tensor, mask: Tensor) -> Tensor:
    ordered = x.masked_fill(~_broadcast(mask, x), torch.inf).sort(dim=1).values
    count = _broadcast(mask, x).sum(1, keepdim=True).expand_as(ordered[:, :1])
    low = ordered.gather(1, (count - 1) // 2)
    high = ordered.gather(1, count // 2)
    return ((low + high) / 2).squeeze(1)


def heads_for(width: int) -> int:
    """The largest number of heads of at least 32 channels that divides `width`; 1 if there is none."""
    return next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)


def _broadcast(mask: Tensor, x: Tensor) -> Tensor:
    return mask.view(*mask.shape, *(1,) * (x.dim() - 2))
