"""Suite keys that version 0.1 used; accepted for one version, with a one-line notice."""

import warnings
from collections.abc import Mapping
from typing import Any, Final

from bench.errors import RenamedWarning

KEYS: Final[Mapping[tuple[str, str], str]] = {
    ("dataset", "at_least"): "min_photos",
    ("prompts", "cards"): "custom",
    ("prompts", "asks"): "expected_attributes",
    ("methods", "like"): "base",
    ("methods", "spoil"): "corruption",
}
"""By top-level table and old key, at any depth below that table."""
SWEPT: Final = {"spoil": "corruption"}
"""Values of `setting` in `[[sweep]]`."""


def with_present_names(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A suite's table with every old key replaced; warns once for each old key."""
    used: set[tuple[str, str]] = set()
    present = {section: _renamed(value, section, used) for section, value in table.items()}
    for old, new in sorted(used):
        told = f"{where}: {old!r} is now {new!r}; the old name will be refused by the next version"
        warnings.warn(told, RenamedWarning, 2)
    return present


def _renamed(value: Any, section: str, used: set[tuple[str, str]]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, section, used) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        new = KEYS.get((section, key), key)
        if new != key:
            used.add((key, new))
        if section == "sweep" and key == "setting" and inner in SWEPT:
            used.add((inner, SWEPT[inner]))
            inner = SWEPT[inner]
        found[new] = _renamed(inner, section, used)
    return found
