"""Finished runs with numbers that a test chooses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.runs.finished_run import Column, FinishedRun
from bench.runs.run_manifest import MethodRecord, PersonRecord, RunManifest
from bench.runs.tables import CellRow, ScoreRow


def column(
    name: str, encoder: str, of: str = "pictures", better: str = "higher", **fingerprint: str
) -> Column:
    """A column whose judge has these parts in its fingerprint."""
    return Column(name, encoder, better, of, fingerprint)


def cell(method: str, who: str, prompt: str, category: str = "free", **about: str) -> CellRow:
    """A generated cell, unless `status` says otherwise."""
    given: dict[str, Any] = {"status": "generated", **about}
    template = "a photo of a man" if category == "prior" else f"{{subject}} {prompt}"
    return CellRow(f"{method}/{who}/{prompt}/s1", method, who, prompt, category, template, 1, 7, **given)


def scores(column: Column, method: str, who: str, values: Sequence[float | str]) -> list[ScoreRow]:
    """One score for each of the prompts p0, p1 ..."""
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
            "f",
        )
        for i, value in enumerate(values)
    ]


def finished_run(
    columns: Sequence[Column], cells: Sequence[CellRow], rows: Sequence[ScoreRow], **manifest: Any
) -> FinishedRun:
    """A run with this manifest; people and methods may be plain dicts."""
    manifest["people"] = {id: PersonRecord(**about) for id, about in manifest.get("people", {}).items()}
    manifest["methods"] = {id: MethodRecord(**about) for id, about in manifest.get("methods", {}).items()}
    return FinishedRun(
        Path("run"), RunManifest(**manifest), tuple(columns), tuple(cells), (), tuple(rows), ()
    )
