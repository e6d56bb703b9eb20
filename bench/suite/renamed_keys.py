"""Suite keys of version 0.1; accepted for one version, with a one-line notice."""

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
"""New key by top-level table and old key; applies at any depth below that table."""
SWEEP_SETTINGS: Final = {"spoil": "corruption"}
"""New name by old name, for values of `setting` in `[[sweep]]`."""


def with_present_names(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a suite's table with every old key replaced; warn once per old key."""
    used: set[tuple[str, str]] = set()
    present = {section: _renamed(value, section, used) for section, value in table.items()}
    for old, new in sorted(used):
        notice = f"{where}: {old!r} is now {new!r}; the old name will be refused by the next version"
        warnings.warn(notice, RenamedWarning, 2)
    return present


def _renamed(value: Any, section: str, used: set[tuple[str, str]]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, section, used) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, inner in value.items():
        new = KEYS.get((section, key), key)
        if new != key:
            used.add((key, new))
        if section == "sweep" and key == "setting" and isinstance(inner, str) and inner in SWEEP_SETTINGS:
            used.add((inner, SWEEP_SETTINGS[inner]))
            inner = SWEEP_SETTINGS[inner]
        renamed[new] = _renamed(inner, section, used)
    return renamed
