"""The report in Markdown: the comparison table, and what limits its conclusions."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.set_columns import SetColumn
from bench.markdown import bullets, counted
from bench.markdown import table as markdown_table
from bench.report.cell_text import contrast_text, entry_text, marked, set_entry_text, share_text
from bench.report.sections.caveats import dataset_section, missing_section, notes, provenance_section
from bench.report.sections.costs import cost_section
from bench.report.sections.failures import failure_section
from bench.report.sections.fit_variance import fit_variance_section
from bench.report.sections.prior_drift import drift_section
from bench.report.sections.rank_agreement import agreement_section
from bench.report.sections.rankings import pairwise_section, ranking_section
from bench.report.sections.subgroups import group_section
from bench.report.sections.sweeps import matched_section
from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, REAL_SET_SAME
from bench.suite.prompts import PRIOR

WIDTH: Final = 4
"""Metrics per table; more would not fit a page."""


def markdown(table: ComparisonTable) -> str:
    """The whole report."""
    return _joined([head(table.run), *report_sections(table)]) + "\n"


def report_sections(table: ComparisonTable) -> list[str]:
    """The sections below the title that the run has content for, each with its heading."""
    sections = [
        score_section(table),
        set_section(table),
        share_section(table),
        baseline_section(table),
        ranking_section(table),
        pairwise_section(table),
        matched_section(table),
        agreement_section(table),
        fit_variance_section(table),
        drift_section(table),
        group_section(table),
        cost_section(table),
        missing_section(table),
        failure_section(table),
        dataset_section(table.run),
        provenance_section(table.run),
    ]
    return [section for section in sections if section]


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def head(run: FinishedRun) -> str:
    """Title and size."""
    people = len({cell.identity for cell in run.cells})
    priors = sum(cell.category == PRIOR for cell in run.cells)
    prompts = len({(cell.prompt, cell.template) for cell in run.cells if cell.category != PRIOR})
    generated = sum(cell.status == "generated" for cell in run.cells)
    fits = max((cell.fit for cell in run.cells), default=1)
    return (
        f"# {run.manifest.suite or run.path.name}\n\n"
        f"{len(run.methods)} methods, {people} people, {prompts} prompts; "
        f"{generated} of {len(run.cells)} images"
        f"{f', {priors} of them without the subject' if priors else ''}; "
        f"{f'{fits} fits of each person; ' if fits > 1 else ''}"
        f"seed {run.seed}."
    )


def score_section(table: ComparisonTable) -> str:
    """Means with intervals of every method and of real photographs."""
    columns, parts = table.image_columns, []
    for part in (columns[start : start + WIDTH] for start in range(0, len(columns), WIDTH)):
        lines = [[label, *(entry_text(c.entry(label)) for c in part)] for label in table.rows]
        parts.append(markdown_table(["method", *(c.column.heading for c in part)], lines))
    if not parts:
        return ""
    return _joined(
        [
            "## Scores",
            "Mean over images with its 95 % interval; people and prompts are taken as random.",
            *parts,
            *notes(table.run),
        ]
    )


def set_section(table: ComparisonTable) -> str:
    """FID and other set metrics at equal numbers, next to those of real photographs."""
    columns = table.set_columns
    if not any(column.entries for column in columns):
        return ""
    lines = [[row, *(set_entry_text(c.entries.get(row)) for c in columns)] for row in table.set_rows]
    header = ["method", *(c.column.heading for c in columns)]
    real = (
        f"`{REAL_SET_SAME}` is the score of a method that would be perfect for these people and this N."
        if REAL_SET_SAME in table.set_rows
        else "The last row is the score of equally many real photographs of all people."
    )
    intro = f"{real} Intervals are jackknife intervals over people; the prompts are taken as given."
    return _joined(["## Sets", intro, markdown_table(header, lines), bullets(list(_set_notes(columns)))])


def _set_notes(columns: Sequence[SetColumn]) -> Iterator[str]:
    entries = [entry for column in columns for entry in column.entries.values()]
    numbers = sorted({(entry.n, entry.against) for entry in entries if entry.value is not None})
    for n, against in numbers:
        yield f"N = {n} images per row, compared with {against} real photographs."
    for n, _ in numbers:
        yield from _bounds(columns, n)
    reasons = Counter(entry.reason for entry in entries if entry.value is None)
    for reason, count in sorted(reasons.items()):
        yield f"not computed {counted(count, 'time')}: {reason}"


def _bounds(columns: Sequence[SetColumn], n: int) -> Iterator[str]:
    """The largest possible inception score of N images: the number of images in a split."""
    for column in (c.column for c in columns):
        splits = column.fingerprint.get("splits", "").partition(",")[0]
        if column.name == "is" and splits.isdecimal():
            yield f"{column.title} can be at most N / splits = {n // int(splits)}."


def share_section(table: ComparisonTable) -> str:
    """The same means on the scale from real photographs of other people to those of the same person."""
    columns = [c for c in table.image_columns if not c.no_share_reason]
    if not columns:
        return ""
    lines = [
        [label, *(marked(share_text(c.share(label)), c.entry(label).overlap) for c in columns)]
        for label in table.run.methods
    ]
    intro = (
        f"0 % is the score of `{REAL_OTHER}`, 100 % that of `{REAL_SAME}`; jackknife intervals over people."
    )
    reasons = {c.column.title: c.no_share_reason for c in table.image_columns}
    reasons |= {c.column.title: c.no_share_reason for c in table.set_columns}
    tables = markdown_table(["method", *(c.column.title for c in columns)], lines)
    return _joined(["## Share of the way", intro, tables, bullets(_without_share(reasons))])


def _without_share(reasons: Mapping[str, str]) -> list[str]:
    return [
        f"no share of {', '.join(title for title in reasons if reasons[title] == reason)}: {reason}"
        for reason in dict.fromkeys(reasons.values())
        if reason
    ]


def baseline_section(table: ComparisonTable) -> str:
    """Every method minus the floor and minus the ceiling, by the identity metrics."""
    run, lines = table.run, []
    for column in table.image_columns:
        if not column.column.name.startswith("identity"):
            continue
        for label in run.methods:
            ends = [column.against_floor.get(label), column.against_ceiling.get(label)]
            if any(ends):
                overlap = column.entry(label).overlap
                texts = [marked(contrast_text(end), overlap) for end in ends]
                lines.append([column.column.title, label, *texts])
    if not lines:
        return ""
    intro = (
        "Paired by person and prompt, with Holm's correction over the methods at 5 %. Each interval has "
        "the level at which the correction tested it: it excludes 0 exactly where the verdict is `above` or "
        "`below`."
    )
    header = ["metric", "method", f"minus {run.floor}", f"minus {run.ceiling}"]
    return _joined(["## Against the floor and the ceiling", intro, markdown_table(header, lines)])
