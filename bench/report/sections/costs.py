"""What each method costs: seconds to fit and to draw, memory, bytes for each person."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

from bench.markdown import dash, table
from bench.runs.finished_run import FinishedRun
from bench.suite.prompts import PRIOR


@dataclass(frozen=True)
class Costs:
    """One method's costs; None where nothing was measured."""

    fit_seconds: float | None
    """Mean over the people."""
    seconds_per_image: float | None
    """Median over the pictures: the first batch of a process also pays for what is prepared once."""
    memory_mb: float | None
    """Peak resident size of the process while fitting and drawing, backbone included."""
    gpu_mb: float | None
    bytes_per_identity: float | None


def costs_of(run: FinishedRun, method: str) -> Costs:
    """The costs of one method in a run."""
    fits = [row for row in run.fits if row.method == method]
    generated = [row for row in run.cells if row.method == method and row.status == "generated"]
    cells = [row for row in generated if row.category != PRIOR]
    return Costs(
        _summary(mean, (row.seconds for row in fits)),
        _summary(median, (row.seconds for row in cells)),
        _summary(max, [*(row.memory_mb for row in fits), *(row.memory_mb for row in cells)]),
        _summary(max, [*(row.gpu_mb for row in fits), *(row.gpu_mb for row in cells)]),
        _summary(mean, (row.bytes for row in fits)),
    )


def _summary(statistic: Callable[[Sequence[float]], float], values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistic(known) if known else None


def cost_table(run: FinishedRun) -> str:
    """The section of the report."""
    header = ["method", "fit s", "s per image", "peak memory MB", "peak GPU MB", "bytes per identity"]
    lines = []
    for method in run.methods:
        costs = costs_of(run, method)
        lines.append(
            [
                method,
                _shown(costs.fit_seconds, ".2f"),
                _shown(costs.seconds_per_image, ".3f"),
                _shown(costs.memory_mb, ".0f"),
                _shown(costs.gpu_mb, ".0f"),
                _shown(costs.bytes_per_identity, ",.0f"),
            ]
        )
    if all(line[4] == dash() for line in lines):
        header, lines = _without(header, 4), [_without(line, 4) for line in lines]
    intro = "Peak memory is the whole process, backbone included."
    return f"## Costs\n\n{intro}\n\n{table(header, lines)}"


def _without(line: list[str], place: int) -> list[str]:
    return line[:place] + line[place + 1 :]


def _shown(value: float | None, form: str) -> str:
    return dash() if value is None else format(value, form)
