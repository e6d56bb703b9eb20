"""The resumable state of a training in one file, and its loss curve as CSV."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods.compute.atomic_io import atomic_file, write_text
from methods.errors import MethodError

LogEntry = dict[str, float]
"""One row of the loss curve: `step`, `loss` (the mean since the previous row), `rate` (the learning rate),
and the results of a periodic evaluation."""


@dataclass(frozen=True)
class TrainingCheckpoint:
    """The file of a training, and the settings that must match to resume it."""

    path: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """A file with other values is refused."""


@dataclass
class TrainingState:
    """The mutable state of the training loop."""

    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: list[Tensor] = field(default_factory=list)
    """The exponential moving average of the parameters."""
    step: int = 0
    """Steps taken."""
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Sum of the losses since the curve's last row."""
    steps_since_log: int = 0
    curve: list[LogEntry] = field(default_factory=list)
    earlier_seconds: float = 0.0
    """Seconds spent before this process started."""
    started_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.average = self.average or [p.detach().clone() for p in self.parameters]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network its averaged weights within the body."""
        current = [p.detach().clone() for p in self.parameters]
        self.apply_average()
        try:
            yield
        finally:
            _copy(current, self.parameters)

    def apply_average(self) -> None:
        """Replace the network's weights by their average."""
        _copy(self.average, self.parameters)

    def save(self, checkpoint: TrainingCheckpoint) -> None:
        """Write the checkpoint and, next to it, the loss curve as CSV; both atomically."""
        stored = {
            "step": self.step,
            "seconds": self.earlier_seconds + time.monotonic() - self.started_at,
            "parameters": self.parameters,
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "scaler": self.scaler.state_dict(),
            "about": dict(checkpoint.settings),
            "total": self.loss_sum,
            "counted": self.steps_since_log,
            "curve": self.curve,
        }
        with atomic_file(checkpoint.path) as temporary:
            torch.save(stored, temporary)
        write_text(checkpoint.path.with_suffix(".csv"), _as_csv(self.curve))

    def resume(self, checkpoint: TrainingCheckpoint) -> None:
        """Load the checkpoint if it exists; raises MethodError if it belongs to another training."""
        if not checkpoint.path.exists():
            return
        stored = torch.load(checkpoint.path, weights_only=True, map_location="cpu")
        # Checkpoints of earlier versions lack the keys after "average".
        _check_settings(checkpoint, stored.get("about", {}))
        shapes = [tuple(p.shape) for p in stored["parameters"]]
        if shapes != [tuple(p.shape) for p in self.parameters]:
            raise MethodError(
                f"{checkpoint.path}: made for another network; delete it or choose another checkpoint folder"
            )
        _copy(stored["parameters"], self.parameters)
        _copy(stored["average"], self.average)
        self.optimizer.load_state_dict(stored["optimizer"])
        self.scaler.load_state_dict(stored.get("scaler", {}) or self.scaler.state_dict())
        self.loss_sum = stored.get("total", self.loss_sum).to(self.loss_sum.device)
        self.steps_since_log, self.curve = stored.get("counted", 0), stored.get("curve", [])
        self.step, self.earlier_seconds = int(stored["step"]), float(stored["seconds"])


def seconds_spent(checkpoint: Path) -> float:
    """Total training time behind a checkpoint, over all interruptions; 0 without a checkpoint."""
    if not checkpoint.exists():
        return 0.0
    return float(torch.load(checkpoint, weights_only=True, map_location="cpu")["seconds"])


def _as_csv(curve: list[LogEntry]) -> str:
    """One line per entry; empty cells where an entry lacks a column."""
    columns = list(dict.fromkeys(name for entry in curve for name in entry))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in entry.items()} for entry in curve)
    return buffer.getvalue()


def _check_settings(checkpoint: TrainingCheckpoint, stored: Mapping[str, Any]) -> None:
    for name in stored.keys() & checkpoint.settings.keys():
        if stored[name] != checkpoint.settings[name]:
            raise MethodError(
                f"{checkpoint.path}: made with {name} {stored[name]}, asked for {checkpoint.settings[name]}; "
                "delete it or give the training another name"
            )


def _copy(source: list[Tensor], into: list[Any]) -> None:
    with torch.no_grad():
        for old, new in zip(into, source, strict=True):
            old.copy_(new)
