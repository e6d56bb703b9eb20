"""What must be known before one believes the tables: leaks, missing scores, provenance."""

from collections.abc import Iterator

from bench.analysis.comparisons import entry, picture_columns, prior_columns
from bench.markdown import bullets
from bench.runs.finished_run import MARKS, FinishedRun
from bench.runs.tables import NO_IMAGE, REAL_OTHER, REAL_SAME


def notes(run: FinishedRun) -> Iterator[str]:
    """Below the scores: why there are no intervals, and which numbers leak."""
    if len({cell.identity for cell in run.cells}) < 2:
        yield "No intervals: one person says nothing about others."
    leaking = [*_conditioned(run), *_trained(run)]
    if leaking:
        yield bullets(leaking)


def _conditioned(run: FinishedRun) -> Iterator[str]:
    for method in run.methods:
        for column in run.columns:
            if run.overlap(method, column) == "conditioned":
                yield (
                    f"{MARKS['conditioned']} {method} is conditioned on {column.encoder}, "
                    f"as {column.title} is: not ranked there."
                )


def _trained(run: FinishedRun) -> Iterator[str]:
    for method in run.methods:
        if seen := run.trained_on_run(run.trained_on(method)):
            yield (
                f"{MARKS['trained']} {method} was trained on {', '.join(seen)}, "
                "which holds people of this run: ranked nowhere."
            )
    for column in run.columns:
        if seen := run.trained_on_run(column.trained_on):
            yield (
                f"{MARKS['judge trained']} {column.encoder}, behind {column.title}, was trained on "
                f"{', '.join(seen)}, which holds people of this run: nothing is ranked by it."
            )


def missing(run: FinishedRun) -> str:
    """Why pictures that are there have no score."""
    rows: dict[tuple[str, str], list[str]] = {}
    for column in [*picture_columns(run), *prior_columns(run)]:
        for label in [*run.methods, REAL_SAME, REAL_OTHER]:
            for reason, count in entry(run, label, column).reasons.items():
                if not reason.startswith(NO_IMAGE):
                    rows.setdefault((column.title, reason), []).append(f"{label} {count}")
    if not rows:
        return ""
    lines = [f"{title}: {reason} ({', '.join(labels)})" for (title, reason), labels in rows.items()]
    return "## Missing scores\n\nWith the number of pictures.\n\n" + bullets(lines)


def dataset(run: FinishedRun) -> str:
    """What is missing of the dataset, and which held-out photographs nearly are references."""
    remarks = run.manifest.remarks
    return "## Dataset\n\n" + bullets(remarks) if remarks else ""


def provenance(run: FinishedRun) -> str:
    """What the numbers rest on."""
    manifest = run.manifest
    machine = {key: value for key, value in manifest.machine.items() if value}
    lines = [
        f"commit {manifest.commit or 'unknown'}; {', '.join(f'{k} {v}' for k, v in machine.items())}",
        ", ".join(f"{k.removeprefix('library ')} {v}" for k, v in manifest.libraries.items()),
        *_trained_on_named(run),
        *(f"{c.title}: {', '.join(f'{k} {v}' for k, v in c.fingerprint.items())}" for c in run.columns),
    ]
    return "## Provenance\n\n" + bullets(lines)


def _trained_on_named(run: FinishedRun) -> Iterator[str]:
    """Who was trained on whom, beside whose pictures are judged here."""
    origins = sorted({about.origin for about in run.people.values()} - {""})
    if origins:
        yield f"the people of this run: {', '.join(origins)}"
    named = [f"{method} {', '.join(run.trained_on(method))}" for method in run.methods]
    named = [line for line in named if not line.endswith(" ")]
    if named:
        yield f"pretrained weights of methods, trained on: {'; '.join(named)}"
