"""Times a call on its device and collects comparisons with diffusers in one table."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL.Image import Image
from torch import nn

from methods.interface import Checkpoints, Saved

GB: Final = 10**9
COLUMNS: Final = {
    "what": "s",
    "per": "s",
    "ours_s": ".4f",
    "diffusers_s": ".4f",
    "ratio": ".2f",
    "ours_gb": ".2f",
    "diffusers_gb": ".2f",
    "max_difference": "d",
    "mean_difference": ".3f",
}
"""Columns of the table with their formats: times, diffusers' time / ours, peaks of the GPU's memory, and
differences of the images' bytes."""


@dataclass(frozen=True)
class Measured:
    """One side of a comparison."""

    seconds: float
    """Per image or per training step."""
    gigabytes: float
    """Peak of the GPU's memory with the side's networks, without the other side's; 0 on a CPU."""
    images: Sequence[Image] = ()


@dataclass
class SpeedTable:
    """The comparisons so far, written to a folder after each: the run may be cut off."""

    folder: str
    """Of `gpu-speed.md` and `gpu-speed.json`; empty for none."""
    facts: dict[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, what: str, per: str, ours: Measured, theirs: Measured | None = None) -> dict[str, Any]:
        """Add a line; without `theirs`, diffusers has no such method, or it was not compared."""
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {"what": what, "per": per, "ours_s": ours.seconds, "ours_gb": ours.gigabytes}
        if theirs is not None:
            row |= {"diffusers_s": theirs.seconds, "diffusers_gb": theirs.gigabytes}
            row["ratio"] = theirs.seconds / ours.seconds
            if theirs.images:
                difference = pixel_differences(ours.images, theirs.images)
                row |= {"max_difference": int(difference.max()), "mean_difference": float(difference.mean())}
        self.rows.append(row)
        sys.stderr.write(_line(row) + "\n")
        if self.folder:
            self._write(Path(self.folder))
        return row

    def markdown(self) -> str:
        """The whole table after a line with the machine."""
        facts = "; ".join(f"{name} {value}" for name, value in self.facts.items())
        head = "| " + " | ".join(COLUMNS) + " |"
        rule = "|" + "|".join("---" if form == "s" else "--:" for form in COLUMNS.values()) + "|"
        return "\n".join([facts, "", head, rule, *map(_line, self.rows)]) + "\n"

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"facts": self.facts, "rows": self.rows}
        (folder / "gpu-speed.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
        (folder / "gpu-speed.md").write_text(self.markdown(), encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    cells = ("-" if row[name] is None else format(row[name], form) for name, form in COLUMNS.items())
    return "| " + " | ".join(cells) + " |"


def machine(device: str, **others: str) -> dict[str, str]:
    """The facts that a time depends on."""
    gpu = device.startswith("cuda")
    packages = ("torch", "diffusers", "transformers", "peft")
    return {
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "CPU cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
        **others,
    }


def pixel_differences(ours: Sequence[Image], theirs: Sequence[Image]) -> np.ndarray[Any, Any]:
    """Absolute differences of the bytes of two equally long lists of images of one size."""
    both = (np.stack([np.asarray(image) for image in images]).astype(int) for images in (ours, theirs))
    return np.abs(np.subtract(*both))


def synchronized_time() -> float:
    """The time after all work of the GPU is finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class PeakMemory:
    """The peak of the GPU's memory from now on, of these networks and of what is allocated later."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        tensors = [each for network in networks for each in (*network.parameters(), *network.buffers())]
        self.own = sum(each.numel() * each.element_size() for each in tensors)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()

    def gigabytes(self) -> float:
        if not torch.cuda.is_available():
            return 0.0
        return (torch.cuda.max_memory_allocated() - self.before + self.own) / GB


def measure_images(
    draw: Callable[[], Sequence[Image]], networks: Sequence[nn.Module], *, rounds: int = 3
) -> Measured:
    """Median seconds per image of several calls, after a first one that is not timed."""
    images = draw()
    peak, times = PeakMemory(networks), []
    for _ in range(rounds):
        start = synchronized_time()
        images = draw()
        times.append(synchronized_time() - start)
    return Measured(statistics.median(times) / len(images), peak.gigabytes(), images)


@dataclass(frozen=True)
class StepTimes:
    """Times a training's steps in three segments; the steps of a segment before them are not timed."""

    segment: int
    """Steps of a segment."""
    times: list[float] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The number of steps that the training takes."""
        return 4 * self.segment

    def after(self, steps: int) -> None:
        """To be called after each step with the number of steps so far."""
        if steps % self.segment == 0:
            self.times.append(synchronized_time())

    @property
    def seconds(self) -> float:
        """Seconds per step: the median of the three segments."""
        return statistics.median(b - a for a, b in pairwise(self.times)) / self.segment


@dataclass(frozen=True, kw_only=True)
class TimedCheckpoints(Checkpoints):
    """The states to save of a fit whose steps are timed; writing a state is not part of a step."""

    timed: StepTimes

    def after_step(self, write: Callable[[Path], None]) -> Saved:
        save = super().after_step(write)

        def after(steps: int) -> None:
            self.timed.after(steps)
            save(steps)

        return after
