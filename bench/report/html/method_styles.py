"""One colour and shape per method, the same in every plot and table of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.analysis.curves.sweeps import method_of
from bench.runs.finished_run import FinishedRun

PALETTE: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
"""Colours that people with any colour blindness can tell apart (Okabe and Ito 2008, yellow darkened)."""
SHAPES: Final = ("circle", "square", "triangle", "diamond")
BASELINE: Final = "#7f7f7f"


@dataclass(frozen=True)
class MethodStyle:
    """Colour and shape of a method's points."""

    color: str
    shape: str


def method_styles(run: FinishedRun) -> dict[str, MethodStyle]:
    """The style of every row; the rows of a sweep share that of their method, baselines are grey."""
    methods = dict.fromkeys(method_of(label) for label in run.methods if not run.is_baseline(label))
    of_methods = dict(zip(methods, _styles(len(methods)), strict=True))
    baseline = MethodStyle(BASELINE, "circle")
    return {label: of_methods.get(method_of(label), baseline) for label in run.methods}


def _styles(count: int) -> Sequence[MethodStyle]:
    """Different pairs of colour and shape for up to 12 methods."""
    return [MethodStyle(PALETTE[i % len(PALETTE)], SHAPES[(i + i // 12) % len(SHAPES)]) for i in range(count)]
