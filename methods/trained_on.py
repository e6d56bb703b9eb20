"""Names of the training data in a weight file's metadata, for the report on training overlap."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

SEPARATOR = ", "
"""Between the names of several training sets."""


def training_data_of(path: Path, table: str, key: str) -> frozenset[str]:
    """Return the training data named in a safetensors file's metadata: `key` of the JSON under `table`.

    Empty where there is no name. Also empty for an unreadable file, which the loader reports in detail.
    """
    try:
        with safe_open(path, "np") as stored:
            content = json.loads((stored.metadata() or {}).get(table, "{}"))
    except (OSError, SafetensorError, ValueError):
        return frozenset()
    name = content.get(key) if isinstance(content, dict) else None
    return frozenset(str(name).split(SEPARATOR)) if name else frozenset()


def combined_training_data(own: str, start: Path | None, table: str, key: str) -> str:
    """Return the names for weights trained on `own` from the initial weights `start`, whose data included."""
    before = frozenset[str]() if start is None else training_data_of(start, table, key)
    return SEPARATOR.join(sorted(before | ({own} if own else frozenset())))
