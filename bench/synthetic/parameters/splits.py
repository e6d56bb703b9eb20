"""Splits as disjoint ranges of identity seeds."""

from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]

FIRST_SEED: Mapping[Split, int] = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
MAX_IDENTITIES = 1_000_000


def identity_seeds(split: Split, identities: int) -> range:
    """Seeds of the first identities of a split. Raises ValueError for more than `MAX_IDENTITIES`."""
    if not 0 < identities <= MAX_IDENTITIES:
        raise ValueError(f"{split}: {identities} identities, expected 1 to {MAX_IDENTITIES}")
    return range(FIRST_SEED[split], FIRST_SEED[split] + identities)
