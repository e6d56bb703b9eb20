"""Why a picture has no number, in the words that several columns share."""

from __future__ import annotations

from typing import Final

import numpy as np

from metrics.interface import Features

NO_FACE: Final = "no face found"
NOT_FINITE: Final = "the network's numbers are not finite"


def sound(row: Features) -> bool:
    """Whether all of a row's numbers are finite."""
    return bool(np.isfinite(row).all())


def faulty(row: Features) -> str:
    """Why a face encoder's row for a picture has no use; empty where it has."""
    if sound(row):
        return ""
    return NO_FACE if np.isnan(row).all() else NOT_FINITE


def unusable(rows: Features, what: str) -> str:
    """Why a set of rows has no use: how many of them are not finite; empty where none is."""
    broken = int((~np.isfinite(rows).all(1)).sum())
    return f"{broken} of {len(rows)} {what}: {NOT_FINITE}" if broken else ""
