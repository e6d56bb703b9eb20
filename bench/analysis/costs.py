"""Costs of each method: seconds to fit and to generate, memory, bytes per person."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import CellRow, FitRow
from bench.suite.prompts import PRIOR


@dataclass(frozen=True)
class Costs:
    """One method's costs; None where nothing was measured."""

    fit_seconds: float | None
    """Mean over the people."""
    seconds_per_image: float | None
    """Median over the images: the first batch of a process includes one-off preparation."""
    memory_mb: float | None
    """Peak resident size of the process while fitting and generating, backbone included."""
    gpu_mb: float | None
    bytes_per_identity: float | None


def costs_by_method(run: FinishedRun) -> dict[str, Costs]:
    """The costs of every method of a run; images without the subject do not count."""
    fits: dict[str, list[FitRow]] = defaultdict(list)
    images: dict[str, list[CellRow]] = defaultdict(list)
    for fit in run.fits:
        fits[fit.method].append(fit)
    for cell in run.cells:
        if cell.status == "generated" and cell.category != PRIOR:
            images[cell.method].append(cell)
    return {method: _costs(fits[method], images[method]) for method in run.methods}


def _costs(fits: Sequence[FitRow], images: Sequence[CellRow]) -> Costs:
    both: list[FitRow | CellRow] = [*fits, *images]
    return Costs(
        _of(mean, (fit.seconds for fit in fits)),
        _of(median, (image.seconds for image in images)),
        _of(max, (row.memory_mb for row in both)),
        _of(max, (row.gpu_mb for row in both)),
        _of(mean, (fit.bytes for fit in fits)),
    )


def _of(statistic: Callable[[Sequence[float]], float], values: Iterable[float | None]) -> float | None:
    """A statistic of the values that were measured; None if there are none."""
    measured = [float(value) for value in values if value is not None]
    return statistic(measured) if measured else None
