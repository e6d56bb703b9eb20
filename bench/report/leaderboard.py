"""`bench leaderboard`: the rows of several runs in one table, as Markdown, CSV and JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bench.analysis.across_runs.comparability import run_differences, shared_parts
from bench.analysis.across_runs.leaderboard import Leaderboard
from bench.analysis.columns import ImageColumn
from bench.analysis.set_columns import SetColumn
from bench.markdown import bullets, counted, dash
from bench.markdown import table as markdown_table
from bench.report.cell_text import entry_text, set_entry_text
from bench.report.formats.export import FIELDS, contrast_records, score_records
from bench.report.sections.caveats import notes
from bench.report.sections.rankings import pairwise_section, ranking_section
from bench.runs.fingerprint import digest_of
from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, REAL_SETS
from bench.runs.run_folder import SUITE_COPY
from bench.suite.suite import open_suite

WIDTH: Final = 3
"""Metrics per table; more would not fit a page."""
VERSION: Final = 1
"""Of the JSON format."""


def as_markdown(board: Leaderboard) -> str:
    """Scores with the run and date of every row, rankings, and how the runs differ."""
    table = board.table
    parts = [
        _head(board),
        *_tables(board, "## Scores", table.image_columns, [*board.rows, REAL_SAME, REAL_OTHER]),
        *notes(table.run),
        *_tables(board, "## Sets", table.set_columns, [*board.rows, *REAL_SETS]),
        *_tables(board, "## Images without the subject", table.prior_columns, board.rows),
        ranking_section(table),
        pairwise_section(table),
        _runs(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_csv(board: Leaderboard) -> str:
    """One line per row and metric; numbers in full."""
    import pandas as pd

    columns = [*_about_run(None), *FIELDS]
    frame = pd.DataFrame(_records(board), columns=columns, dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def as_json(board: Leaderboard) -> str:
    """The lines of the CSV, paired differences, and the runs; see formats/leaderboard.schema.json."""
    first = next(iter(board.runs.values()))
    content = {
        "version": VERSION,
        "suite": first.manifest.suite,
        "seed": first.seed,
        "runs": {
            name: {**_about_run(run), "libraries": run.manifest.libraries, "shared": shared_parts(run)}
            for name, run in board.runs.items()
        },
        "repeated": board.repeated,
        "left_out": board.left_out,
        "scores": _records(board),
        "contrasts": contrast_records(board.table),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _head(board: Leaderboard) -> str:
    run = board.table.run
    lines = []
    if board.repeated:
        lines.append(f"in several runs, and named after each: {', '.join(board.repeated)}")
    lines += [f"left out: {reason}" for reason in board.left_out]
    if not board.has_scored_photographs:
        lines.append("not checked: whether the photographs are the same, which no metric has scores of")
    title = (
        f"# Leaderboard of {run.manifest.suite or run.path.name}\n\n"
        f"{counted(len(run.methods), 'row')} of {counted(len(board.runs), 'run')}; "
        f"{len(run.people)} people; seed {run.seed}."
    )
    return "\n\n".join(part for part in (title, bullets(lines)) if part)


def _tables(
    board: Leaderboard, title: str, columns: Sequence[ImageColumn] | Sequence[SetColumn], rows: Sequence[str]
) -> Iterator[str]:
    for start in range(0, len(columns), WIDTH):
        part = columns[start : start + WIDTH]
        lines = [[*_place(board, row), *(_cell(column, row) for column in part)] for row in rows]
        header = ["method", "run", "date", *(column.column.heading for column in part)]
        table = markdown_table(header, [line for line in lines if set(line[3:]) != {dash()}])
        yield f"{title}\n\n{table}" if start == 0 else table


def _place(board: Leaderboard, row: str) -> list[str]:
    """Label, run and day of a row."""
    name = board.run_of.get(row)
    return [row, name or "", _date(board.runs[name]) if name else ""]


def _cell(column: ImageColumn | SetColumn, row: str) -> str:
    if isinstance(column, ImageColumn):
        return entry_text(column.entry(row))
    return set_entry_text(column.entries.get(row))


def _runs(board: Leaderboard) -> str:
    """Date, code and backbone of every run, and what else the images of the others depend on."""
    first, *others = board.runs.values()
    names = list(board.runs)
    lines = [
        [name, _date(run), run.manifest.commit or "unknown", _backbone(run), _versions(run)]
        for name, run in board.runs.items()
    ]
    differences = [
        f"{name} differs from {names[0]} in {difference}"
        for name, run in zip(names[1:], others, strict=True)
        for difference in run_differences(first, run)
        if not difference.startswith("backbone ")
    ]
    table = markdown_table(["run", "date", "commit", "backbone", "versions"], lines)
    return "\n\n".join(part for part in ("## Runs", table, bullets(differences)) if part)


def _records(board: Leaderboard) -> list[dict[str, Any]]:
    records = []
    for record in score_records(board.table):
        name = board.run_of.get(record["method"], "")
        records.append({**_about_run(board.runs.get(name)), **record, "run": name})
    return records


def _about_run(run: FinishedRun | None) -> dict[str, str]:
    """Provenance of a row; empty for real photographs."""
    if run is None:
        return dict.fromkeys(("run", "ended", "commit", "backbone", "versions"), "")
    return {
        "run": run.path.resolve().name,
        "ended": run.manifest.ended,
        "commit": run.manifest.commit,
        "backbone": _backbone(run),
        "versions": _versions(run),
    }


def _date(run: FinishedRun) -> str:
    return run.manifest.ended.partition("T")[0] or "unknown"


def _backbone(run: FinishedRun) -> str:
    """Its path in the suite, and a digest of its files and code, which differs where the backbone does."""
    parts = {key: value for key, value in shared_parts(run).items() if key.startswith("backbone ")}
    copy = run.path / SUITE_COPY
    name = open_suite(str(copy)).suite.backbone.path if copy.exists() else ""
    return f"{name} ({digest_of(parts)[:8]})".strip() if parts else name or dash()


def _versions(run: FinishedRun) -> str:
    return ", ".join(f"{name.removeprefix('library ')} {v}" for name, v in run.manifest.libraries.items())
