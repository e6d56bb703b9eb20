"""The commands that read finished runs, without parsing and printing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.analysis.across_runs.leaderboard import leaderboard
from bench.analysis.comparison_table import compare
from bench.atomic_io import write_text, write_whole
from bench.report import leaderboard as leaderboard_text
from bench.report.formats.export import as_csv, as_json
from bench.report.formats.latex import as_latex
from bench.report.formats.score_rows import scores_csv, scores_parquet
from bench.report.markdown_report import markdown
from bench.report.plots import write_plot
from bench.report.run_comparison import run_comparison
from bench.report.run_files import write_comparison_of, write_page_of
from bench.runner.session import RESULTS
from bench.runs.finished_run import FinishedRun, latest_run, read_run

PARQUET: Final = "scores-parquet"
LEADERBOARD_FORMATS: Final = {
    "markdown": leaderboard_text.as_markdown,
    "csv": leaderboard_text.as_csv,
    "json": leaderboard_text.as_json,
}


def render_report(run: Path | None, form: str) -> str:
    """`bench report` in a text format."""
    found = _opened(run)
    if form == "scores-csv":
        return scores_csv(found)
    return {"markdown": markdown, "csv": as_csv, "json": as_json, "latex": as_latex}[form](compare(found))


def write_report(run: Path | None, form: str, output: Path) -> None:
    """`bench report --output`: write the report to a file."""
    if form == PARQUET:
        write_whole(output, scores_parquet(_opened(run)))
    else:
        write_text(output, render_report(run, form))


def write_html(run: Path | None, output: Path | None, *, embed: bool) -> Path:
    """`bench report --format html`: write the page; returns its path."""
    return write_page_of(_opened(run), output, embed=embed)


def compare_runs(one: Path, other: Path) -> str:
    """`bench compare`."""
    return run_comparison(read_run(one), read_run(other))


def write_comparison(one: Path, other: Path, output: Path | None, *, embed: bool) -> Path:
    """`bench compare --format html`: write the page; returns its path."""
    return write_comparison_of(read_run(one), read_run(other), output, embed=embed)


def render_leaderboard(runs: Sequence[Path], form: str) -> str:
    """`bench leaderboard`."""
    board = leaderboard([read_run(run) for run in runs])
    return LEADERBOARD_FORMATS[form](board)


def plot_run(run: Path | None, x: str, y: str, output: Path) -> None:
    """`bench plot`."""
    write_plot(compare(_opened(run)), x, y, output)


def _opened(run: Path | None) -> FinishedRun:
    return read_run(run or latest_run(RESULTS))
