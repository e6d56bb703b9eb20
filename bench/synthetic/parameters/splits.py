"""Splits as disjoint ranges of identity seeds."""

from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]

FIRST_SEED: Mapping[Split, int] = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
MAX_IDENTITIES = 1_000_000


def split_of(seed: int) -> Split | None:
    """The split whose range contains a seed; None for a seed outside all of them."""
    return next((split for split, first in FIRST_SEED.items() if 0 <= seed - first < MAX_IDENTITIES), None)


def identity_seeds(split: Split, identities: int) -> range:
    """Seeds of the first identities of a split. Raises ValueError for more than `MAX_IDENTITIES`."""
    if not 0 < identities <= MAX_IDENTITIES:
        raise ValueError(f"{split}: {identities} identities, expected 1 to {MAX_IDENTITIES}")
    return range(FIRST_SEED[split], FIRST_SEED[split] + identities)
