"""The comparison table as data of the page: numbers to sort by, and the same texts as in Markdown."""

from collections.abc import Mapping
from typing import Any, Final

from bench.analysis.columns import ImageColumn, SetColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.report.cell_text import contrast_text, entry_text, marked, set_entry_text, share_text
from bench.report.standings import standings
from bench.runs.finished_run import OverlapKind

OVERLAP: Final[Mapping[OverlapKind, str]] = {
    "conditioned": "Not ranked: the method is conditioned on the encoder of this metric.",
    "optimised": "Not ranked: the method was optimised against the encoder of this metric.",
    "trained": "Not ranked: the method was trained on people of this run.",
    "judge trained": "Not ranked: the encoder of this metric was trained on people of this run.",
}
KINDS: Final = {"pictures": "", "sets": "sets of images", "priors": "class images"}
NONE: Final = {"text": "-", "value": None}


def table_data(table: ComparisonTable) -> dict[str, Any]:
    """Rows, columns, and by column and row the value, the share and the difference to the floor."""
    columns: list[ImageColumn | SetColumn] = [
        *table.image_columns,
        *table.set_columns,
        *table.prior_columns,
    ]
    rows = list(dict.fromkeys([*table.rows, *table.set_rows]))
    return {
        "rows": [{"label": row, "real": row not in table.run.methods} for row in rows],
        "columns": [_column(column, rows) for column in columns],
        "floor": table.run.floor,
    }


def _column(column: ImageColumn | SetColumn, rows: list[str]) -> dict[str, Any]:
    about = column.column
    cells = _image_cells(column, rows) if isinstance(column, ImageColumn) else _set_cells(column, rows)
    of = KINDS[about.of]
    return {"heading": about.heading, "title": about.title, "better": about.better, "of": of, "cells": cells}


def _image_cells(column: ImageColumn, rows: list[str]) -> list[dict[str, Any]]:
    marks = standings(column)
    return [{**_image_cell(column, row), "standing": marks.get(row, "")} for row in rows]


def _image_cell(column: ImageColumn, row: str) -> dict[str, Any]:
    entry, share, contrast = column.entry(row), column.share(row), column.against_floor.get(row)
    reasons = [f"{count} x no score: {reason}" for reason, count in entry.reasons.items()]
    mean = entry.estimate
    return {
        "value": {"text": entry_text(entry), "value": mean.mean if mean else None},
        "share": {
            "text": marked(share_text(share), entry.overlap if share else None),
            "value": share.value if share else None,
        },
        "difference": {
            "text": marked(contrast_text(contrast), entry.overlap if contrast else None),
            "value": contrast.difference.mean if contrast else None,
        },
        "note": " ".join([*_overlap_note(entry.overlap), *reasons]),
    }


def _set_cells(column: SetColumn, rows: list[str]) -> list[dict[str, Any]]:
    cells, marks = [], standings(column)
    for row in rows:
        entry = column.entries.get(row)
        note = [*_overlap_note(entry.overlap), entry.reason] if entry else []
        value = {"text": set_entry_text(entry), "value": entry.value if entry else None}
        texts = {"note": " ".join(note).strip(), "standing": marks.get(row, "")}
        cells.append({"value": value, "share": NONE, "difference": NONE, **texts})
    return cells


def _overlap_note(overlap: OverlapKind | None) -> list[str]:
    return [OVERLAP[overlap]] if overlap else []
