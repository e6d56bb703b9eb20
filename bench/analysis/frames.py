"""Rows of a run's tables as a pandas data frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Sequence[Any], row_type: type) -> pd.DataFrame:
    """One line per row, one column per field of `row_type`; None becomes NaN in columns of numbers."""
    import pandas as pd

    return pd.DataFrame([vars(row) for row in rows], columns=[field.name for field in fields(row_type)])
