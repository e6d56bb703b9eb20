"""Finished runs with chosen numbers, in memory or as a run folder."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.atomic_io import write_json
from bench.runs.finished_run import FinishedRun
from bench.runs.records.metrics_record import Column
from bench.runs.records.run_manifest import MethodRecord, PersonRecord, RunManifest, write_run_manifest
from bench.runs.records.tables import (
    CELLS,
    FITS,
    METRICS,
    SCORES,
    SETS,
    CellRow,
    FitRow,
    ScoreRow,
    SetRow,
    write_rows,
)


def column(
    name: str, encoder: str, of: str = "pictures", better: str = "higher", **fingerprint: str
) -> Column:
    """A column with these parts in its fingerprint."""
    return Column(name, encoder, better, of, fingerprint)


def cell(method: str, who: str, prompt: str, category: str = "free", **fields: Any) -> CellRow:
    """A cell; generated unless `fields` contains another status."""
    values: dict[str, Any] = {"status": "generated", **fields}
    template = "a photo of a man" if category == "prior" else f"{{subject}} {prompt}"
    return CellRow(f"{method}/{who}/{prompt}/s1", method, who, prompt, category, template, 1, 7, **values)


def scores(
    column: Column, method: str, who: str, values: Sequence[float | str], fingerprint: str = "f"
) -> list[ScoreRow]:
    """One score for each of the prompts p0, p1 ...; a string is the reason of a missing score."""
    category = "prior" if column.of == "priors" else "free"
    return [
        ScoreRow(
            method,
            who,
            f"p{i}",
            category,
            1,
            column.name,
            column.encoder,
            None if isinstance(value, str) else value,
            value if isinstance(value, str) else "",
            fingerprint,
        )
        for i, value in enumerate(values)
    ]


def finished_run(
    columns: Sequence[Column],
    cells: Sequence[CellRow],
    rows: Sequence[ScoreRow],
    *,
    fits: Sequence[FitRow] = (),
    sets: Sequence[SetRow] = (),
    **manifest: Any,
) -> FinishedRun:
    """A run with this manifest; people and methods may be plain dicts."""
    manifest["people"] = {id: PersonRecord(**about) for id, about in manifest.get("people", {}).items()}
    manifest["methods"] = {id: MethodRecord(**about) for id, about in manifest.get("methods", {}).items()}
    record = RunManifest(**manifest)
    return FinishedRun(
        Path("run"), record, tuple(columns), tuple(cells), tuple(fits), tuple(rows), tuple(sets)
    )


def write_run(folder: Path, run: FinishedRun) -> Path:
    """Write the files that `read_run` reads."""
    write_rows(folder / CELLS, run.cells, CellRow)
    write_rows(folder / FITS, run.fits, FitRow)
    write_rows(folder / SCORES, run.scores, ScoreRow)
    write_rows(folder / SETS, run.sets, SetRow)
    write_json(folder / METRICS, {"of": "x", "metrics": {c.title: asdict(c) for c in run.columns}})
    write_run_manifest(folder, run.manifest)
    return folder
