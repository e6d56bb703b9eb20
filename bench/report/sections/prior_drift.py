"""What fitting one person did to everybody else: pictures without the subject beside the backbone's own."""

from collections.abc import Iterator

from bench.analysis.comparisons import TableEntry, entry, prior_columns
from bench.markdown import bullets, dash, number, table
from bench.runs.finished_run import FinishedRun, marked
from bench.runs.tables import FLOOR
from bench.suite.prompts import PRIOR


def drift(run: FinishedRun) -> str:
    """Drift and bleed of every method, and why a number is missing or zero."""
    columns = prior_columns(run)
    cells = [cell for cell in run.cells if cell.category == PRIOR]
    if not columns or not cells:
        return ""
    labels = [label for label in run.methods if label != FLOOR]
    lines = [[label, *(_shown(entry(run, label, c)) for c in columns)] for label in labels]
    prompts = ", ".join(sorted({cell.template for cell in cells}))
    intro = (
        f"After fitting, somebody else is asked for ({prompts}) and compared with what the backbone alone "
        f"(`{FLOOR}`) draws from the same seed. drift is the distance between the two pictures, bleed how "
        "much nearer the subject's held-out photographs the face has come. 0 is none. "
        "These pictures enter no other column."
    )
    parts = ["## Without the subject", intro, table(["method", *(c.headed for c in columns)], lines)]
    return "\n\n".join([*parts, *filter(None, [bullets(list(_notes(run)))])])


def _shown(found: TableEntry) -> str:
    if found.of == 0:
        return dash()
    if found.estimate is None:
        return f"none of {found.of}"
    text = number(found.estimate.mean, found.estimate.low, found.estimate.high)
    return marked(text + (f" ({found.n} of {found.of})" if found.n < found.of else ""), found.overlap)


def _notes(run: FinishedRun) -> Iterator[str]:
    asked = {cell.method for cell in run.cells if cell.category == PRIOR}
    for label in run.methods:
        if label not in asked:
            yield f"{label} draws nothing but its subject: not applicable."
    same = [label for label in run.methods if label in asked - {FLOOR} and _unchanged(run, label)]
    if same:
        yield (
            f"{', '.join(same)}: the backbone's own pictures, unchanged. For an adapter this is so by "
            "construction: its image tokens are its name for the subject and stay away where nobody is named."
        )
    reasons = {reason for c in prior_columns(run) for m in asked for reason in entry(run, m, c).reasons}
    yield from sorted(reason for reason in reasons if FLOOR in reason)


def _unchanged(run: FinishedRun, label: str) -> bool:
    """Whether every measured picture is that of the backbone."""
    values = [
        row.value
        for column in prior_columns(run)
        if column.name == "drift"
        for row in run.scores_of(label, column)
        if row.value is not None
    ]
    return bool(values) and not any(values)
