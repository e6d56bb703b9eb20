"""Limits of the tables: overlap with training data, missing scores, provenance."""

from collections.abc import Iterator

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.statistics import MIN_PEOPLE
from bench.markdown import bullets
from bench.report.cell_text import MARKS
from bench.runs.finished_run import FinishedRun
from bench.runs.tables import NO_IMAGE


def notes(run: FinishedRun) -> Iterator[str]:
    """Notes below the scores: why there are no intervals, and which numbers are not independent."""
    if len({cell.identity for cell in run.cells}) < MIN_PEOPLE:
        yield f"No intervals and no verdicts: they need at least {MIN_PEOPLE} people."
    overlaps = [*_conditioned(run), *_trained(run)]
    if overlaps:
        yield bullets(overlaps)


def _conditioned(run: FinishedRun) -> Iterator[str]:
    for method in run.methods:
        for column in run.columns:
            if run.overlap(method, column) == "conditioned":
                yield (
                    f"{MARKS['conditioned']} {method} is conditioned on {column.encoder}, "
                    f"the encoder of {column.title}: not ranked by that metric."
                )


def _trained(run: FinishedRun) -> Iterator[str]:
    for method in run.methods:
        if names := run.overlapping_training_data(run.trained_on(method)):
            yield (
                f"{MARKS['trained']} {method} was trained on {', '.join(names)}, "
                "which contains people of this run: not ranked."
            )
    for column in run.columns:
        if names := run.overlapping_training_data(column.trained_on):
            yield (
                f"{MARKS['judge trained']} {column.encoder}, the encoder of {column.title}, was trained on "
                f"{', '.join(names)}, which contains people of this run: no ranking by this metric."
            )


def missing_section(table: ComparisonTable) -> str:
    """Reasons why existing images have no score."""
    counts: dict[tuple[str, str], list[str]] = {}
    for column in [*table.image_columns, *table.prior_columns]:
        for label in table.rows:
            for reason, count in column.entry(label).reasons.items():
                if not reason.startswith(NO_IMAGE):
                    counts.setdefault((column.column.title, reason), []).append(f"{label} {count}")
    if not counts:
        return ""
    lines = [f"{title}: {reason} ({', '.join(labels)})" for (title, reason), labels in counts.items()]
    return "## Missing scores\n\nWith the number of images.\n\n" + bullets(lines)


def dataset_section(run: FinishedRun) -> str:
    """Missing files of the dataset, and held-out photographs that are near-duplicates of references."""
    remarks = run.manifest.remarks
    return "## Dataset\n\n" + bullets(remarks) if remarks else ""


def provenance_section(run: FinishedRun) -> str:
    """Commit, machine, libraries, training data, and the fingerprint of every metric."""
    manifest = run.manifest
    machine = {key: value for key, value in manifest.machine.items() if value}
    lines = [
        f"commit {manifest.commit or 'unknown'}; {', '.join(f'{k} {v}' for k, v in machine.items())}",
        ", ".join(f"{k.removeprefix('library ')} {v}" for k, v in manifest.libraries.items()),
        *_training_data(run),
        *(f"{c.title}: {', '.join(f'{k} {v}' for k, v in c.fingerprint.items())}" for c in run.columns),
    ]
    return "## Provenance\n\n" + bullets(lines)


def _training_data(run: FinishedRun) -> Iterator[str]:
    """Origin of the run's people, and training data of each method."""
    origins = sorted({about.origin for about in run.people.values()} - {""})
    if origins:
        yield f"people of this run: {', '.join(origins)}"
    named = [f"{method} {', '.join(names)}" for method in run.methods if (names := run.trained_on(method))]
    if named:
        yield f"training data of the methods' pretrained weights: {'; '.join(named)}"
