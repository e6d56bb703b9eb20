"""The model card next to each shipped weight file: training data, settings and quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from methods.compute.atomic_io import write_text


@dataclass(frozen=True)
class ModelCard:
    """A Markdown page; the named command computes every number on it."""

    title: str
    command: str
    summary: str
    """One paragraph: the network and its purpose."""
    training: Mapping[str, object] = field(default_factory=dict)
    """Data, steps, batch, seconds, device."""
    evaluation: Mapping[str, object] = field(default_factory=dict)
    """Measured on identities that are not in the training data."""
    licence: str = "Apache-2.0, as this project; trained on rendered people only"

    def markdown(self) -> str:
        rows = [*self.training.items(), ("licence", self.licence)]
        parts = [f"# {self.title}", self.summary, f"Made by `{self.command}`.", _table("training", rows)]
        if self.evaluation:
            parts.append(_table("measured on unseen identities", list(self.evaluation.items())))
        return "\n\n".join(parts) + "\n"

    def write(self, path: Path) -> None:
        """Write the card atomically."""
        write_text(path, self.markdown())


def _table(head: str, rows: list[tuple[str, object]]) -> str:
    lines = [f"| {head} | |", "|---|---|"]
    lines += [f"| {name} | {_formatted(value)} |" for name, value in rows]
    return "\n".join(lines)


def _formatted(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
