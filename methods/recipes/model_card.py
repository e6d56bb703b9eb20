"""The card beside each shipped weight file: how it was made, on what, and how good it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Card:
    """What a reader must know before trusting a weight file; the command named computes every number."""

    title: str
    command: str
    about: str
    """One paragraph: what it is and what it is for."""
    made_of: Mapping[str, object] = field(default_factory=dict)
    """Data, steps, batch, seconds, device."""
    quality: Mapping[str, object] = field(default_factory=dict)
    """Measured on identities that the training did not see."""
    licence: str = "Apache-2.0, as this project; trained on rendered people only"

    def markdown(self) -> str:
        rows = [*self.made_of.items(), ("licence", self.licence)]
        parts = [f"# {self.title}", self.about, f"Made by `{self.command}`.", _table("how", rows)]
        if self.quality:
            parts.append(_table("measured on unseen identities", list(self.quality.items())))
        return "\n\n".join(parts) + "\n"

    def write(self, path: Path) -> None:
        """Write the card beside, then rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(self.markdown(), encoding="utf-8")
        beside.replace(path)


def _table(head: str, rows: list[tuple[str, object]]) -> str:
    lines = [f"| {head} | |", "|---|---|"]
    lines += [f"| {name} | {_shown(value)} |" for name, value in rows]
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
