"""Reasons for missing scores that several metrics share."""

from __future__ import annotations

from typing import Final

import numpy as np

from metrics.interface import Features

NO_FACE: Final = "no face found"
NOT_FINITE: Final = "the network's output is not finite"
SINGLE_IMAGE: Final = "only one picture"
"""Published score files contain this text and `NO_FACE`, so both are fixed."""


def is_finite(row: Features) -> bool:
    """Whether all numbers of a row are finite."""
    return bool(np.isfinite(row).all())


def missing_face_reason(row: Features) -> str:
    """Why a face encoder's row cannot be used; empty if it can."""
    if is_finite(row):
        return ""
    return NO_FACE if np.isnan(row).all() else NOT_FINITE


def non_finite_reason(rows: Features, what: str) -> str:
    """How many of the rows are not finite; empty if none."""
    broken = int((~np.isfinite(rows).all(1)).sum())
    return f"{broken} of {len(rows)} {what}: {NOT_FINITE}" if broken else ""
