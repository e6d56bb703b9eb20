"""Write cells.csv and fits.csv from the contents of a run folder."""

from bench.runner.session import Studio
from bench.runs.atomic_io import read_json
from bench.runs.fingerprint import digest_of
from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder
from bench.runs.tables import CELLS, FITS, CellRow, FitRow, write_rows
from bench.runs.work import Work


def cell_row(cell: Cell, work: Work, folder: RunFolder, run_fingerprint: str) -> CellRow:
    """What came of one cell."""
    fingerprint = work.recipe.fingerprint(cell)
    about = (
        cell.id,
        cell.method,
        cell.identity,
        cell.prompt.id,
        cell.prompt.category,
        cell.prompt.template,
        str(cell.sample),
        str(cell.seed),
    )
    if folder.has(cell, fingerprint):
        record = read_json(folder.sidecar(cell))
        costs = {key: _number(record.get(key)) for key in ("seconds", "memory_mb", "gpu_mb")}
        flaw = str(record.get("flaw", ""))
        return CellRow(
            *about, "drawn", flaw=flaw, picture=fingerprint, run_fingerprint=run_fingerprint, **costs
        )
    failure = read_json(folder.failure(cell))
    if failure.get("fingerprint") == fingerprint:
        return CellRow(*about, "failed", why=str(failure["why"]))
    return CellRow(*about, "missing", why="not drawn")


def fit_row(work: Work, folder: RunFolder) -> FitRow | None:
    """What one fitting cost, if it is there."""
    method, identity = work.group.method, work.group.identity
    record = read_json(folder.fit_sidecar(method, identity))
    if not record:
        return None
    costs = {key: _number(record.get(key)) for key in ("seconds", "memory_mb", "gpu_mb")}
    return FitRow(method, identity, bytes=str(record.get("bytes", "")), **costs)


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else ""


def write_ledger(studio: Studio, folder: RunFolder) -> list[CellRow]:
    """cells.csv and fits.csv for the whole plan."""
    shared = digest_of(studio.shared)
    cells = [cell_row(cell, work, folder, shared) for work in studio.works for cell in work.group.cells]
    fits = [row for work in studio.works if (row := fit_row(work, folder)) is not None]
    write_rows(folder.path / CELLS, cells, CellRow)
    write_rows(folder.path / FITS, fits, FitRow)
    return cells
