"""Limits of the tables: overlap with training data, missing scores, provenance."""

from collections.abc import Iterator

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.statistics import MIN_PEOPLE
from bench.markdown import bullets
from bench.report.cell_text import MARKS
from bench.runs.finished_run import FinishedRun, OverlapKind
from bench.runs.no_effect import methods_without_effect
from bench.runs.records.tables import NO_IMAGE


def notes(run: FinishedRun) -> Iterator[str]:
    """Notes below the scores: why there are no intervals, and which numbers are not independent."""
    if len({cell.identity for cell in run.cells}) < MIN_PEOPLE:
        yield f"No intervals and no verdicts: they need at least {MIN_PEOPLE} people."
    if not run.has_several_fits:
        yield (
            "Each person was fitted once: the chance of a fit is not told apart from the difference between "
            "people, whose part of the intervals contains it. `fits = 3` in the suite measures it."
        )
    lines = [
        *_no_effect(run),
        *_encoders(run),
        *_trained(run),
        *_different_training_data(run),
        *_common_training_data(run),
        *_false_accepts(run),
    ]
    if lines:
        yield bullets(lines)


def _encoders(run: FinishedRun) -> Iterator[str]:
    """Methods that use the encoder of a metric, as a condition or as a training target."""
    verbs: dict[OverlapKind | None, str] = {
        "conditioned": "is conditioned on",
        "optimised": "was optimised against",
    }
    for method in run.methods:
        for column in run.columns:
            kind = run.overlap(method, column)
            if kind and kind in verbs:
                yield (
                    f"{MARKS[kind]} {method} {verbs[kind]} {column.encoder}, "
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


def _different_training_data(run: FinishedRun) -> Iterator[str]:
    """Pretrained weights with different training data: their rows differ in more than the method."""
    rows: dict[str, list[str]] = {}
    for method in run.methods:
        if run.has_pretrained_weights(method):
            names = ", ".join(run.trained_on(method)) or "data that the files do not name"
            # The rows of a sweep have the same weights.
            rows.setdefault(names, []).append(method.partition("@")[0])
    if len(rows) > 1:
        groups = "; ".join(f"{', '.join(dict.fromkeys(labels))}: {names}" for names, labels in rows.items())
        yield (
            f"The pretrained weights of these rows have different training data ({groups}): a difference "
            "between rows with different data is one of training as much as of method. Compare rows with "
            "the same data."
        )


def _common_training_data(run: FinishedRun) -> Iterator[str]:
    """Encoders that were trained on the same people as a method: a note, without effect on the ranking."""
    encoders: dict[tuple[str, str], list[str]] = {}
    for column in run.columns:
        found: dict[str, list[str]] = {}
        for method in run.methods:
            names = run.common_training_data(method, column)
            if names and run.overlap(method, column) is None:
                # The rows of a sweep have the same weights.
                found.setdefault(", ".join(names), []).append(method.partition("@")[0])
        for trained_on, methods in found.items():
            key = (trained_on, ", ".join(dict.fromkeys(methods)))
            encoders.setdefault(key, []).append(column.encoder or column.name)
    for (people, trained), networks in encoders.items():
        yield (
            f"{' and '.join(dict.fromkeys(networks))} (encoders of metrics) and {trained} (methods) were "
            f"trained on the same people ({people}): these scores are not independent of that training. "
            "They are ranked, because the run contains other people."
        )


def _false_accepts(run: FinishedRun) -> Iterator[str]:
    """The realised false accepts of each verification threshold, estimated on people left out."""
    for title, found in run.calibration.items():
        rate, low, high = (found.get(key) for key in ("rate", "low", "high"))
        if rate is not None:
            interval = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
            yield (
                f"{title}: its threshold accepts {100 * rate:.1f} %{interval} of the people left out "
                f"when it was set ({found.get('people_pairs'):.0f} pairs of people)."
            )


def _no_effect(run: FinishedRun) -> Iterator[str]:
    for method in methods_without_effect(run.scores, run.floor):
        # In a table of several runs, each has its own floor.
        if not run.is_baseline(method):
            yield f"{method} has NO EFFECT: each of its images equals that of {run.floor}."


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
