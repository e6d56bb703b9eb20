"""The files of a report in its run folder, and the page of a run that ended earlier."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.atomic_io import write_text
from bench.datasets.registry import open_people
from bench.errors import BenchError
from bench.report.html.comparison_page import write_comparison_page
from bench.report.html.page import write_page
from bench.report.image_grid import write_grid
from bench.report.markdown_report import markdown
from bench.runs.finished_run import FinishedRun, read_run
from bench.runs.records.tables import CellRow
from bench.runs.run_folder import SUITE_COPY, RunFolder
from bench.subjects.identity import Identity
from bench.suite.suite import open_suite

REPORT: Final = "report.md"
PAGE: Final = "report.html"


def write_report_files(
    folder: RunFolder, cells: Sequence[CellRow], people: Sequence[Identity]
) -> ComparisonTable:
    """Write report.md, report.html and the image grid of a run that has just ended."""
    table = compare(read_run(folder.path))
    write_text(folder.path / REPORT, markdown(table))
    write_grid(folder, cells, people)
    write_page(table, people, folder.path / PAGE)
    return table


def write_page_of(run: FinishedRun, output: Path | None, *, embed: bool) -> Path:
    """Write the page of a run, by default into its folder; returns the page's path."""
    path = output or run.path / PAGE
    people, remark = people_of(run)
    write_page(compare(run), people, path, embed=embed, remark=remark)
    return path


def write_comparison_of(one: FinishedRun, other: FinishedRun, output: Path | None, *, embed: bool) -> Path:
    """Write the page that compares two runs, by default into the folder of the second; returns its path."""
    path = output or other.path / f"comparison-with-{one.path.resolve().name}.html"
    people, remark = people_of(one)
    write_comparison_page(one, other, people, path, embed=embed, remark=remark)
    return path


def people_of(run: FinishedRun) -> tuple[tuple[Identity, ...], str]:
    """The people of the run whose photographs its suite still names, and why there are none or not all."""
    try:
        file = open_suite(str(run.path / SUITE_COPY))
        chosen = open_people(file.suite.dataset, Path(run.manifest.base or file.base)).chosen
    except BenchError as error:
        return (), f"No photographs: {error}"
    known = {cell.identity for cell in run.cells}
    found = tuple(who for who in chosen if who.id in known)
    missing = sorted(known.difference(who.id for who in found))
    remark = f"No photographs of {', '.join(missing)}: not in the dataset any more." if missing else ""
    return found, remark
