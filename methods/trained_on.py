"""What a weight file says of the people it was trained on, for the leak ledger."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

BETWEEN = ", "
"""Stands between the names of several training sets."""


def data_named(path: Path, table: str, key: str) -> frozenset[str]:
    """The training data that a safetensors file names in its metadata: `key` of the JSON under `table`.

    Empty where it names none, and where the file cannot be read, which its reader says better.
    """
    try:
        with safe_open(path, "np") as stored:
            content = json.loads((stored.metadata() or {}).get(table, "{}"))
    except (OSError, SafetensorError, ValueError):
        return frozenset()
    name = content.get(key) if isinstance(content, dict) else None
    return frozenset(str(name).split(BETWEEN)) if name else frozenset()


def data_learnt(own: str, start: Path | None, table: str, key: str) -> str:
    """What weights trained on `own` name, where they went on from the file `start`: its data, too."""
    before = frozenset[str]() if start is None else data_named(start, table, key)
    return BETWEEN.join(sorted(before | ({own} if own else frozenset())))
