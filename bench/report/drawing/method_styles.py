"""One colour and shape per method, the same in every plot and in the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.analysis.curves.sweeps import method_of
from bench.runs.finished_run import FinishedRun

PALETTE: Final = ("#215fca", "#ea720f", "#0aa35d", "#995398", "#229ce6", "#8e5a1c")
"""Near the colours of Okabe and Ito (2008), but with contrast to white and to the page's dark background, and
different in the three simulated kinds of colour blindness (Machado, Oliveira and Fernandes 2009)."""
SHAPES: Final = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class MethodStyle:
    """Colour and shape of a method's points."""

    color: str
    shape: str


BASELINE_STYLE: Final = MethodStyle("#7f7f7f", "circle")


def method_styles(run: FinishedRun) -> dict[str, MethodStyle]:
    """The style of every row; the rows of a sweep share that of their method, baselines are grey."""
    methods = dict.fromkeys(
        method_of(label) for label in run.methods if not run.is_baseline(method_of(label))
    )
    of_methods = dict(zip(methods, _styles(len(methods)), strict=True))
    return {label: of_methods.get(method_of(label), BASELINE_STYLE) for label in run.methods}


def _styles(count: int) -> Sequence[MethodStyle]:
    """Different pairs of colour and shape for up to 12 methods."""
    return [MethodStyle(PALETTE[i % len(PALETTE)], SHAPES[(i + i // 12) % len(SHAPES)]) for i in range(count)]
