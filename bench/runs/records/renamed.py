"""Names that version 0.1 wrote into run folders; accepted for one version, with a one-line notice."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Final

from bench.errors import RenamedWarning

CSV_COLUMNS: Final = {"why": "reason"}
CSV_VALUES: Final = {"drawn": "generated"}
"""Values of the column `status`."""
MANIFEST_KEYS: Final = {"sees": "conditioning_encoders", "made": "fingerprint_parts", "dataset": "remarks"}
"""Keys of run.json."""


def renamed(names: Iterable[str], table: Mapping[str, str], where: str) -> list[str]:
    """Replace old names by present ones; issue one RenamedWarning for all of them."""
    names = list(names)
    old = [name for name in names if name in table]
    if old:
        changes = ", ".join(f"{name!r} is now {table[name]!r}" for name in old)
        warnings.warn(
            f"{where}: {changes}; the old name will be refused by the next version", RenamedWarning, 2
        )
    return [table.get(name, name) for name in names]
