"""Costs of each method: seconds to fit and to generate, memory, bytes per person."""

from dataclasses import dataclass
from statistics import mean
from typing import Any

from bench.analysis.frames import frame
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
    import pandas as pd

    fits = frame(run.fits, FitRow).astype(dict.fromkeys(("seconds", "memory_mb", "gpu_mb", "bytes"), float))
    cells = frame(run.cells, CellRow).astype(dict.fromkeys(("seconds", "memory_mb", "gpu_mb"), float))
    images = cells[(cells["status"] == "generated") & (cells["category"] != PRIOR)]
    both = pd.concat([fits, images]).groupby("method")
    found = pd.DataFrame(
        {
            # statistics.mean is exact; groupby's own mean can differ in the last digit.
            "fit_seconds": fits.dropna(subset=["seconds"]).groupby("method")["seconds"].agg(mean),
            "seconds_per_image": images.groupby("method")["seconds"].median(),
            "memory_mb": both["memory_mb"].max(),
            "gpu_mb": both["gpu_mb"].max(),
            "bytes_per_identity": fits.groupby("method")["bytes"].mean(),
        }
    ).reindex(run.methods)
    records: dict[Any, Any] = found.astype(object).where(found.notna(), None).to_dict("index")
    return {method: Costs(**records[method]) for method in run.methods}
