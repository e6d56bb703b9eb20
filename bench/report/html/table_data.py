"""The comparison table as data of the page: numbers to sort by, and the same texts as in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.contrasts import Contrast
from bench.analysis.failures import KINDS as FAILURES
from bench.analysis.set_columns import SetColumn
from bench.report.cell_text import MARKS, contrast_text, entry_text, marked, set_entry_text, share_text
from bench.report.standings import shared_letters, standings
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
    """Rows, columns, and by column and row the value, its share, and its differences to the baselines."""
    columns: list[ImageColumn | SetColumn] = [
        *table.image_columns,
        *table.set_columns,
        *table.prior_columns,
    ]
    rows = list(dict.fromkeys([*table.rows, *table.set_rows]))
    shown = [_column(column, rows) for column in columns]
    modes = [("value", "values"), ("share", "share of the way from other people to the same person")]
    modes += [("minus_floor", f"minus {table.run.floor}"), ("minus_ceiling", f"minus {table.run.ceiling}")]
    return {
        "rows": [{"label": row, "real": row not in table.run.methods} for row in rows],
        "columns": [*shown, *_failures(table, rows)],
        "modes": [mode for mode in modes if mode[0] == "value" or _is_filled(shown, mode[0])],
    }


def overlap_note(overlap: OverlapKind | None) -> str:
    """The mark of an overlap and what it means; empty for none."""
    return f"{MARKS[overlap]} {OVERLAP[overlap]}" if overlap else ""


def _is_filled(columns: Sequence[Mapping[str, Any]], mode: str) -> bool:
    return any(cell[mode]["value"] is not None for column in columns for cell in column["cells"])


def _column(column: ImageColumn | SetColumn, rows: list[str]) -> dict[str, Any]:
    about, best, letters = column.column, standings(column), shared_letters(column)
    cells = []
    for row in rows:
        cell = _image_cell(column, row) if isinstance(column, ImageColumn) else _set_cell(column, row)
        cells.append({**cell, "standing": best.get(row, ""), "letters": letters.get(row, "")})
    of = KINDS[about.of]
    return {"heading": about.heading, "title": about.title, "better": about.better, "of": of, "cells": cells}


def _image_cell(column: ImageColumn, row: str) -> dict[str, Any]:
    entry, share = column.entry(row), column.share(row)
    reasons = [f"{count} x no score: {reason}" for reason, count in entry.reasons.items()]
    mean = entry.estimate
    return {
        "value": {"text": entry_text(entry), "value": mean.mean if mean else None},
        "share": {
            "text": marked(share_text(share), entry.overlap if share else None),
            "value": share.value if share else None,
        },
        "minus_floor": _difference(column.against_floor.get(row), entry.overlap),
        "minus_ceiling": _difference(column.against_ceiling.get(row), entry.overlap),
        "note": " ".join(part for part in (overlap_note(entry.overlap), *reasons) if part),
    }


def _difference(contrast: Contrast | None, overlap: OverlapKind | None) -> dict[str, Any]:
    if contrast is None:
        return NONE
    return {"text": marked(contrast_text(contrast), overlap), "value": contrast.difference.mean}


def _set_cell(column: SetColumn, row: str) -> dict[str, Any]:
    entry = column.entries.get(row)
    note = f"{overlap_note(entry.overlap)} {entry.reason}".strip() if entry else ""
    value = {"text": set_entry_text(entry), "value": entry.value if entry else None}
    return {"value": value, "share": NONE, "minus_floor": NONE, "minus_ceiling": NONE, "note": note}


def _failures(table: ComparisonTable, rows: list[str]) -> list[dict[str, Any]]:
    """The column of images of the subject that do not exist or show nothing; empty without cells."""
    cells = []
    for row in rows:
        counts = {kind: count for kind, count in table.failures.get(row, {}).items() if count}
        failed = sum(counts.get(kind, 0) for kind in FAILURES.values())
        known = row in table.failures
        value = {"text": f"{failed} of {counts.get('pictures', 0)}", "value": failed} if known else NONE
        note = ", ".join(f"{kind}: {count}" for kind, count in counts.items() if kind != "pictures")
        standing = {"note": note, "standing": "", "letters": ""}
        cells.append({"value": value, "share": NONE, "minus_floor": NONE, "minus_ceiling": NONE, **standing})
    about = {"heading": "failed images ↓", "title": "failed images", "better": "lower", "of": ""}
    return [{**about, "cells": cells}] if table.failures else []
