"""Drawing from a table of odds."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Label = TypeVar("Label", bound=str)


def pick(rng: np.random.Generator, odds: Mapping[Label, float]) -> Label:
    """One of the keys; the values need not sum to 1."""
    shares = np.cumsum(list(odds.values()))
    return list(odds)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
