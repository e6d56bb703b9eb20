"""Input checks shared by the statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.interface import Features


def checked_rows(x: Features, min_rows: int = 1) -> NDArray[np.float64]:
    """N x D features in float64; ValueError for another shape, too few rows, or non-finite numbers."""
    if x.ndim != 2 or len(x) < min_rows:
        expected = {1: "a row", 2: "two rows"}.get(min_rows, f"{min_rows} rows")
        raise ValueError(f"features of shape {x.shape}, expected at least {expected}")
    if not np.isfinite(x).all():
        raise ValueError("features that are not finite")
    return np.asarray(x, np.float64)
