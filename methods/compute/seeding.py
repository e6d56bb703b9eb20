"""Random generators from integer keys."""

from __future__ import annotations

import torch


def seeded_generator(*key: int) -> torch.Generator:
    """Return a CPU generator seeded by the whole key; equal keys give equal numbers."""
    state = 0
    for part in key:
        state = (state * 1_000_003 + part + 1) % (2**63 - 1)
    return torch.Generator().manual_seed(state)
