"""One row per score, with its image's prompt and seed: CSV or Parquet."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final[dict[str, str]] = {
    "run": "string",
    "method": "string",
    "identity": "string",
    "prompt": "string",
    "category": "string",
    "text": "string",
    "sample": "Int64",
    "seed": "Int64",
    "fit": "Int64",
    "metric": "string",
    "encoder": "string",
    "better": "string",
    "value": "Float64",
    "reason": "string",
    "overlap": "string",
}
"""Types by name. `text`, `seed` and `fit` are missing for real photographs."""


def scores_csv(run: FinishedRun) -> str:
    """The scores of images and of real photographs as CSV; a missing value is an empty field."""
    return _frame(run).to_csv(index=False, lineterminator="\n")


def scores_parquet(run: FinishedRun) -> bytes:
    """The same rows as Parquet. Raises ReportError without pyarrow."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ReportError("Parquet needs pyarrow; pip install 'personabench[parquet]'") from error
    buffer = io.BytesIO()
    _frame(run).to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _frame(run: FinishedRun) -> pd.DataFrame:
    import pandas as pd

    cells = {(c.method, c.identity, c.prompt, c.sample): c for c in run.cells}
    better = {(column.name, column.encoder): column.better for column in run.columns}
    overlaps = {
        (label, column.name, column.encoder): run.overlap(label, column)
        for label in run.methods
        for column in run.columns
    }
    name = run.path.resolve().name
    rows: list[tuple[Any, ...]] = []
    for row in run.scores:
        cell = cells.get((row.method, row.identity, row.prompt, row.sample))
        about = (cell.template, row.sample, cell.seed, cell.fit) if cell else (None, row.sample, None, None)
        rows.append(
            (
                name,
                row.method,
                row.identity,
                row.prompt,
                row.category,
                *about,
                row.metric,
                row.encoder,
                better.get((row.metric, row.encoder)),
                row.value,
                row.reason,
                overlaps.get((row.method, row.metric, row.encoder)),
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
