"""The Resampler of IP-Adapter Plus, patch tokens to a few image tokens, in its published layout."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

HEAD: int = 64
"""Width of an attention head; hard-coded in diffusers' loader."""

DEPTH: int = 4
"""Number of blocks; hard-coded in diffusers' loader."""


def new_resampler(
    *, patch_width: int, width: int, tokens: int, hidden: int = 192, depth: int = DEPTH
) -> nn.Module:
    """Return an untrained Resampler, (N, L, patch_width) -> (N, tokens, width); `hidden` divisible by 64."""
    from diffusers.models.embeddings import IPAdapterPlusImageProjection

    module: nn.Module = IPAdapterPlusImageProjection(
        embed_dims=patch_width,
        output_dims=width,
        hidden_dims=hidden,
        depth=depth,
        dim_head=HEAD,
        heads=hidden // HEAD,
        num_queries=tokens,
    )
    return module


PUBLISHED_NAMES = (
    (".ln0.", ".0.norm1."),
    (".ln1.", ".0.norm2."),
    (".attn.to_q.", ".0.to_q."),
    (".attn.to_out.0.", ".0.to_out."),
    (".ff.0.", ".1.0."),
    (".ff.1.net.0.proj.", ".1.1."),
    (".ff.1.net.2.", ".1.3."),
)
"""Parts of parameter names within a layer: in diffusers, and in the published files."""


def published_base(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the base projection's parameters from diffusers' names to the published ones."""
    return {name.replace("image_embeds", "proj"): value for name, value in state.items()}


def published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename parameters from diffusers' names to the published ones; keys and values share a matrix."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".attn.to_v." in key:
            continue
        if ".attn.to_k." in key:
            values = state[key.replace("to_k", "to_v")]
            renamed[key.replace(".attn.to_k.", ".0.to_kv.")] = torch.cat([value, values])
            continue
        for ours, theirs in PUBLISHED_NAMES:
            key = key.replace(ours, theirs)
        renamed[key] = value
    return renamed
