"""Which identities a split holds: ranges of seeds that never meet."""

from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]

FIRST_SEED: Mapping[Split, int] = {"train": 0, "validation": 1_000_000, "test": 2_000_000}
LARGEST = 1_000_000


def identity_seeds(split: Split, identities: int) -> range:
    """Seeds of a split; none may grow into the next."""
    if not 0 < identities <= LARGEST:
        raise ValueError(f"{split}: {identities} identities, wanted 1 to {LARGEST}")
    return range(FIRST_SEED[split], FIRST_SEED[split] + identities)
