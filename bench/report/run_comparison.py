"""`bench compare`: how two runs differ in settings and in scores, as Markdown."""

from collections.abc import Iterator

from bench.analysis.across_runs.comparability import (
    CommonGround,
    common_ground,
    method_differences,
    run_differences,
    same_images,
)
from bench.analysis.across_runs.differences import RunDifference, differences
from bench.analysis.statistics import MIN_PEOPLE
from bench.markdown import bullets, counted, number
from bench.markdown import table as markdown_table
from bench.report.cell_text import contrast_text, marked
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import REAL_SAME


def run_comparison(one: FinishedRun, other: FinishedRun) -> str:
    """Differences of two runs. Raises ReportError where nothing may be compared."""
    ground = common_ground(one, other)
    return "\n\n".join([comparison_head(one, other, ground), *comparison_sections(one, other, ground)]) + "\n"


def comparison_sections(one: FinishedRun, other: FinishedRun, ground: CommonGround) -> list[str]:
    """The sections below the title that have content, each with its heading."""
    parts = [_settings(one, other, ground), _scores(one, other, ground), _refused(ground)]
    return [part for part in parts if part]


def comparison_head(one: FinishedRun, other: FinishedRun, ground: CommonGround) -> str:
    """Title, the two runs, and what they have in common."""
    people = {who for who, _, _ in ground.places}
    lines = [
        *(
            f"{name} run: {run.path}, suite {run.manifest.suite}, commit {run.manifest.commit or 'unknown'}"
            for name, run in (("first", one), ("second", other))
        ),
        f"compared: {len(people)} people, {len(ground.places)} images of each of "
        f"{counted(len(ground.methods), 'method')}",
        *_only("people", list(one.people), list(other.people)),
        *_only("methods", one.methods, other.methods),
    ]
    if not any(one.scores_of(REAL_SAME, column) for column, _ in ground.columns):
        lines.append("not checked: whether the photographs are the same, which no metric has scores of")
    if ground.other_words:
        lines.append(f"left out: {ground.other_words} images whose prompt has other words in the second run")
    return f"# Comparison of two runs\n\n{bullets(lines)}"


def _only(what: str, one: list[str], other: list[str]) -> Iterator[str]:
    for run, own, others in (("first", one, other), ("second", other, one)):
        if names := [name for name in own if name not in others]:
            yield f"{what} of the {run} run only: {', '.join(names)}"


def _settings(one: FinishedRun, other: FinishedRun, ground: CommonGround) -> str:
    """What the images depend on, where it differs: first / second run."""
    lines = [f"all methods: {line}" for line in run_differences(one, other)]
    for label in ground.methods:
        found = method_differences(one, other, label)
        same, common = same_images(one, other, label, ground)
        images = f"{same} of {common} images have the same fingerprint in both runs"
        lines.append(f"{label}: {'; '.join([*found, images])}")
    return f"## Settings and fingerprints\n\nFirst run / second run.\n\n{bullets(lines)}"


def _scores(one: FinishedRun, other: FinishedRun, ground: CommonGround) -> str:
    tables = []
    for columns in ground.columns:
        found = differences(one, other, columns, ground)
        if found:
            lines = [_line(one, other, columns, difference) for difference in found]
            header = ["method", "first", "second", "second minus first", "pairs"]
            tables.append(f"{columns[0].heading}:\n\n{markdown_table(header, lines)}")
    if not tables:
        return "## Scores\n\nNo method has scores of common images in both runs."
    intro = (
        "Over the images of both runs, paired by person and prompt; a missing score counts as the worst of "
        "both runs. Holm's correction over the methods of a metric at 5 %; each interval has the level at "
        f"which it was tested, and needs {MIN_PEOPLE} people. Scores of sets are not paired and not compared."
    )
    return "\n\n".join(["## Scores", intro, *tables])


def _line(
    one: FinishedRun, other: FinishedRun, columns: tuple[Column, Column], found: RunDifference
) -> list[str]:
    overlap = one.overlap(found.method, columns[0]) or other.overlap(found.method, columns[1])
    estimate = found.contrast.difference
    no_verdict = f"{number(estimate.mean)} no verdict"
    difference = marked(no_verdict if estimate.low is None else contrast_text(found.contrast), overlap)
    pairs = str(estimate.n)
    return [found.method, number(found.one), number(found.other), difference, pairs]


def _refused(ground: CommonGround) -> str:
    if not ground.refused:
        return ""
    lines = [f"{column.title}: {'; '.join(column.reasons)}" for column in ground.refused]
    intro = "Metrics of both runs whose numbers mean something else in each (first / second run)."
    return f"## Not comparable\n\n{intro}\n\n{bullets(lines)}"
