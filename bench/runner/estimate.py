"""Time and disk that a run will take, from the costs of earlier runs with the same backbone settings."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import Final

from bench.errors import BenchError, ReportError
from bench.markdown import counted
from bench.runs.plan import Cell
from bench.runs.records.run_manifest import MANIFEST, RunManifest, read_run_manifest
from bench.runs.records.tables import CELLS, FITS, CellRow, FitRow, read_rows
from bench.runs.run_folder import SUITE_COPY, RunFolder
from bench.runs.shared_fits import fits_of
from bench.suite.suite import Suite, open_suite

MAX_RUNS: Final = 5
"""Number of earlier runs that are read, the newest first."""
BYTES_PER_PIXEL: Final = 2.0
"""Of a photograph-like PNG, with its JSON sidecar; used where no earlier image exists."""


@dataclass(frozen=True)
class RowCost:
    """Mean costs of one row of an earlier run."""

    fit_seconds: float
    fit_bytes: float
    image_seconds: float
    image_bytes: float | None
    """None where the earlier run's images are gone."""


@dataclass(frozen=True)
class Estimate:
    """Expected costs of the images that a run has to make."""

    rows: Mapping[str, RowCost]
    """Costs of the known rows."""
    seconds: float
    """Of fits and images in one process."""
    scoring_seconds: float
    bytes: float
    unknown: tuple[str, ...]
    """Rows that no earlier run has; they are not counted."""
    sources: tuple[Path, ...]
    """Folders of the earlier runs."""


def estimate(cells: Sequence[Cell], suite: Suite, folder: RunFolder, results: Path) -> Estimate | None:
    """Expected costs of `cells`, from runs in `folder` and `results`; None without a suitable one."""
    labels = dict.fromkeys(cell.method for cell in cells)
    if not labels:
        return None
    costs: dict[str, RowCost] = {}
    sources: list[Path] = []
    scoring = 0.0
    for path, manifest in islice(_earlier_runs(suite, folder, results), MAX_RUNS):
        try:
            found = {label: cost for label, cost in row_costs(path).items() if label in labels}
        except ReportError:
            continue
        if found.keys() - costs.keys():
            sources.append(path)
        costs = {**found, **costs}
        scoring = scoring or manifest.scoring_seconds_per_image
        if scoring and costs.keys() == labels.keys():
            break
    if not costs:
        return None
    known = [cell for cell in cells if cell.method in costs]
    groups = {(cell.method, cell.identity, cell.fit) for cell in known}
    seconds = sum(costs[method].fit_seconds for method, _, _ in fits_of(known, suite.settings))
    seconds += sum(costs[cell.method].image_seconds for cell in known)
    default = BYTES_PER_PIXEL * (suite.backbone.resolution or 512) ** 2
    size = sum(costs[method].fit_bytes for method, _, _ in groups)
    size += sum(costs[cell.method].image_bytes or default for cell in known)
    unknown = tuple(label for label in labels if label not in costs)
    return Estimate(costs, seconds, scoring * len(cells), size, unknown, tuple(sources))


def cost_lines(found: Estimate | None, workers: int) -> Iterator[str]:
    """Lines for the terminal: time, disk, and where the numbers come from."""
    if found is None:
        yield "time and disk: unknown, because no earlier run has these rows and this backbone"
        return
    seconds = found.seconds / workers + found.scoring_seconds
    yield (
        f"time: about {_duration(seconds)} with {counted(workers, 'process', 'processes')}; "
        f"disk: about {found.bytes / 1e6:,.0f} MB; by the costs of {', '.join(map(str, found.sources))}"
    )
    if found.unknown:
        yield f"not counted, because no earlier run has them: {', '.join(found.unknown)}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def row_costs(run: Path) -> dict[str, RowCost]:
    """Mean costs of the rows of a finished run, for rows with images."""
    fits: dict[str, list[FitRow]] = defaultdict(list)
    for fit in read_rows(run / FITS, FitRow):
        fits[fit.method].append(fit)
    cells: dict[str, list[CellRow]] = defaultdict(list)
    for cell in read_rows(run / CELLS, CellRow):
        if cell.seconds is not None:
            cells[cell.method].append(cell)
    folder = RunFolder(run)
    costs = {}
    for label, own in cells.items():
        fitted = fits[label]
        paths = [path for row in own[:20] if (path := folder.image_of(row)).exists()]
        costs[label] = RowCost(
            fmean([row.seconds or 0.0 for row in fitted] or [0.0]),
            fmean([row.bytes or 0.0 for row in fitted] or [0.0]),
            median(row.seconds or 0.0 for row in own),
            fmean(p.stat().st_size + p.with_suffix(".json").stat().st_size for p in paths) if paths else None,
        )
    return costs


def _earlier_runs(suite: Suite, folder: RunFolder, results: Path) -> Iterator[tuple[Path, RunManifest]]:
    """Finished runs whose suite has the same backbone settings, the newest first."""
    found = {folder.path, *(path.parent for path in results.glob(f"*/{MANIFEST}"))}
    tables = [path for path in found if (path / FITS).exists() and (path / SUITE_COPY).exists()]
    for path in sorted(tables, key=lambda path: -(path / FITS).stat().st_mtime):
        try:
            if open_suite(str(path / SUITE_COPY)).suite.backbone == suite.backbone:
                yield path, read_run_manifest(path)
        except BenchError:
            continue
