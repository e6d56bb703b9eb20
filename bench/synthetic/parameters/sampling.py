"""Sampling from a table of weights."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Label = TypeVar("Label", bound=str)


def pick(rng: np.random.Generator, odds: Mapping[Label, float]) -> Label:
    """Sample one key with probability proportional to its value."""
    shares = np.cumsum(list(odds.values()))
    return list(odds)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
