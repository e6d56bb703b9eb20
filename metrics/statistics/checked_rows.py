"""What every statistic asks of its features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features


def checked_rows(x: Features, least: int = 1) -> NDArray[np.float64]:
    """N x D features in float64; ValueError for another shape, too few rows, or numbers not finite."""
    if x.ndim != 2 or len(x) < least:
        wanted = {1: "a row", 2: "two rows"}.get(least, f"{least} rows")
        raise ValueError(f"features of shape {x.shape}, wanted at least {wanted}")
    if not np.isfinite(x).all():
        raise ValueError("features that are not finite")
    return np.asarray(x, np.float64)
