"""Write cells.csv and fits.csv from the content of a run folder."""

import math
from dataclasses import replace

from bench.atomic_io import read_json, sync_folder
from bench.runner.session import RunSession
from bench.runs.fingerprint import digest_of
from bench.runs.image_index import ImageIndex
from bench.runs.plan import Cell
from bench.runs.records.tables import CELLS, FITS, CellRow, FitRow, write_rows
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask


def cell_row(cell: Cell, index: ImageIndex, folder: RunFolder, run_fingerprint: str) -> CellRow:
    """The line of cells.csv for one cell."""
    fingerprint = index.planned[cell.id]
    row = CellRow(
        cell.id,
        cell.method,
        cell.identity,
        cell.prompt.id,
        cell.prompt.category,
        cell.prompt.template,
        cell.sample,
        cell.seed,
        status="missing",
        reason="not generated",
        fit=cell.fit,
    )
    if index.has(cell):
        record = read_json(folder.sidecar(cell))
        return replace(
            row,
            status="generated",
            reason="",
            flaw=str(record.get("flaw", "")),
            picture=fingerprint,
            seconds=_number(record.get("seconds")),
            memory_mb=_number(record.get("memory_mb")),
            gpu_mb=_number(record.get("gpu_mb")),
            run_fingerprint=run_fingerprint,
        )
    failure = read_json(folder.failure(cell))
    if failure.get("fingerprint") == fingerprint:
        return replace(row, status="failed", reason=str(failure.get("reason", "the reason was not recorded")))
    return row


def fit_row(task: GroupTask, folder: RunFolder) -> FitRow | None:
    """The line of fits.csv for one group; None if nothing was fitted."""
    group = task.group
    record = read_json(folder.fit_sidecar(group.method, group.identity, group.fit))
    if not record:
        return None
    costs = {key: _number(record.get(key)) for key in ("seconds", "memory_mb", "gpu_mb")}
    size = record.get("bytes")
    count = size if isinstance(size, int) else None
    return FitRow(group.method, group.identity, bytes=count, fit=group.fit, **costs)


def _number(value: object) -> float | None:
    """Round to six significant digits, the useful precision of a clock."""
    return float(f"{value:.6g}") if isinstance(value, int | float) and math.isfinite(value) else None


def write_cell_tables(session: RunSession, folder: RunFolder) -> list[CellRow]:
    """Write cells.csv and fits.csv for all tasks of the session; return the cells."""
    shared, index = digest_of(session.shared), session.index.updated(session.tasks, folder)
    cells = [cell_row(cell, index, folder, shared) for task in session.tasks for cell in task.group.cells]
    fits = [row for task in session.tasks if (row := fit_row(task, folder)) is not None]
    # A table vouches for images, whose names are on disk before it.
    for place in {folder.image(task.group.cells[0]).parent for task in session.tasks if task.group.cells}:
        sync_folder(place)
    write_rows(folder.path / CELLS, cells, CellRow)
    write_rows(folder.path / FITS, fits, FitRow)
    return cells
