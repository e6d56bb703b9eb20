"""All that a training needs to go on exactly where it stopped, in one file; and the curve it drew so far."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods.errors import MethodError

LogEntry = dict[str, float]
"""One line of a training's curve: `step`, `loss` (the mean since the line before), `rate`, and what was
measured there."""


@dataclass(frozen=True)
class TrainingCheckpoint:
    """Where a training is kept, and what it is."""

    path: Path
    about: Mapping[str, str] = field(default_factory=dict)
    """What is trained, and how; a file that says otherwise is refused."""


@dataclass
class TrainingState:
    """Changed in place by the loop."""

    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: list[Tensor] = field(default_factory=list)
    """The exponential moving average of the parameters."""
    step: int = 0
    """Steps taken."""
    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Sum of the losses since the curve's last point."""
    counted: int = 0
    curve: list[LogEntry] = field(default_factory=list)
    earlier: float = 0.0
    """Seconds spent before this process began."""
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.average = self.average or [p.detach().clone() for p in self.parameters]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network as its average; afterwards as it was."""
        learning = [p.detach().clone() for p in self.parameters]
        self.settle()
        try:
            yield
        finally:
            _copy(learning, self.parameters)

    def settle(self) -> None:
        """Make the network its average."""
        _copy(self.average, self.parameters)

    def save(self, checkpoint: TrainingCheckpoint) -> None:
        """Write the checkpoint and, beside it, the curve as CSV; both appear whole."""
        stored = {
            "step": self.step,
            "seconds": self.earlier + time.monotonic() - self.began,
            "parameters": self.parameters,
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "scaler": self.scaler.state_dict(),
            "about": dict(checkpoint.about),
            "total": self.total,
            "counted": self.counted,
            "curve": self.curve,
        }
        save_beside(checkpoint.path, stored)
        write_curve(checkpoint.path.with_suffix(".csv"), self.curve)

    def resume(self, checkpoint: TrainingCheckpoint) -> None:
        """Take over a checkpoint, if there is one; raises MethodError where it is of another training."""
        if not checkpoint.path.exists():
            return
        stored = torch.load(checkpoint.path, weights_only=True, map_location="cpu")
        # Checkpoints of earlier versions lack what comes after "average".
        _check_same(checkpoint, stored.get("about", {}))
        shapes = [tuple(p.shape) for p in stored["parameters"]]
        if shapes != [tuple(p.shape) for p in self.parameters]:
            raise MethodError(
                f"{checkpoint.path}: made for another network; delete it or choose another --out"
            )
        _copy(stored["parameters"], self.parameters)
        _copy(stored["average"], self.average)
        self.optimizer.load_state_dict(stored["optimizer"])
        self.scaler.load_state_dict(stored.get("scaler", {}) or self.scaler.state_dict())
        self.total = stored.get("total", self.total).to(self.total.device)
        self.counted, self.curve = stored.get("counted", 0), stored.get("curve", [])
        self.step, self.earlier = int(stored["step"]), float(stored["seconds"])


def write_curve(path: Path, curve: list[LogEntry]) -> None:
    """The curve as CSV: a line a point, empty where a point lacks a column."""
    columns = list(dict.fromkeys(name for point in curve for name in point))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in point.items()} for point in curve)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(buffer.getvalue(), encoding="utf-8")
    beside.replace(path)


def save_beside(path: Path, content: object) -> None:
    """`torch.save` that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(content, beside)
    beside.replace(path)


def seconds_spent(checkpoint: Path) -> float:
    """How long the training behind a checkpoint has taken in all, over every time it was resumed."""
    if not checkpoint.exists():
        return 0.0
    return float(torch.load(checkpoint, weights_only=True, map_location="cpu")["seconds"])


def _check_same(checkpoint: TrainingCheckpoint, stored: Mapping[str, Any]) -> None:
    for name in stored.keys() & checkpoint.about.keys():
        if stored[name] != checkpoint.about[name]:
            raise MethodError(
                f"{checkpoint.path}: made with {name} {stored[name]}, asked for {checkpoint.about[name]}; "
                "delete it or give the training another name"
            )


def _copy(source: list[Tensor], into: list[Any]) -> None:
    with torch.no_grad():
        for old, new in zip(into, source, strict=True):
            old.copy_(new)
