"""What fitting one person did to everybody else: pictures without the subject beside the backbone's own."""

from collections.abc import Iterator

from bench.analysis.comparisons import Entry, entry, prior_columns
from bench.markdown import bullets, dash, number, table
from bench.runs.finished_run import Study, marked
from bench.runs.tables import FLOOR
from bench.suite.prompts import PRIOR


def drift(study: Study) -> str:
    """Drift and bleed of every method, and why a number is missing or zero."""
    columns = prior_columns(study)
    cells = [cell for cell in study.cells if cell.category == PRIOR]
    if not columns or not cells:
        return ""
    labels = [label for label in study.methods if label != FLOOR]
    lines = [[label, *(_shown(entry(study, label, c)) for c in columns)] for label in labels]
    prompts = ", ".join(sorted({cell.template for cell in cells}))
    intro = (
        f"After fitting, somebody else is asked for ({prompts}) and compared with what the backbone alone "
        f"(`{FLOOR}`) draws from the same seed. drift is the distance between the two pictures, bleed how "
        "much nearer the subject's held-out photographs the face has come. 0 is none. "
        "These pictures enter no other column."
    )
    parts = ["## Without the subject", intro, table(["method", *(c.headed for c in columns)], lines)]
    return "\n\n".join([*parts, *filter(None, [bullets(list(_notes(study)))])])


def _shown(found: Entry) -> str:
    if found.of == 0:
        return dash()
    if found.estimate is None:
        return f"none of {found.of}"
    text = number(found.estimate.mean, found.estimate.low, found.estimate.high)
    return marked(text + (f" ({found.n} of {found.of})" if found.n < found.of else ""), found.leak)


def _notes(study: Study) -> Iterator[str]:
    asked = {cell.method for cell in study.cells if cell.category == PRIOR}
    for label in study.methods:
        if label not in asked:
            yield f"{label} draws nothing but its subject: not applicable."
    same = [label for label in study.methods if label in asked - {FLOOR} and _unchanged(study, label)]
    if same:
        yield (
            f"{', '.join(same)}: the backbone's own pictures, unchanged. For an adapter this is so by "
            "construction: its image tokens are its name for the subject and stay away where nobody is named."
        )
    whys = {why for c in prior_columns(study) for m in asked for why in entry(study, m, c).whys}
    yield from sorted(why for why in whys if FLOOR in why)


def _unchanged(study: Study, label: str) -> bool:
    """Whether every measured picture is that of the backbone."""
    values = [
        float(row.value)
        for column in prior_columns(study)
        if column.name == "drift"
        for row in study.scores_of(label, column)
        if row.value
    ]
    return bool(values) and not any(values)
