"""What must be known before one believes the tables: leaks, missing scores, provenance."""

from collections.abc import Iterator

from bench.analysis.comparisons import entry, picture_columns, prior_columns
from bench.markdown import bullets
from bench.runs.finished_run import MARKS, Study
from bench.runs.tables import NO_PICTURE, REAL_OTHER, REAL_SAME


def notes(study: Study) -> Iterator[str]:
    """Below the scores: why there are no intervals, and which numbers leak."""
    if len({cell.identity for cell in study.cells}) < 2:
        yield "No intervals: one person says nothing about others."
    leaking = [*_conditioned(study), *_trained(study)]
    if leaking:
        yield bullets(leaking)


def _conditioned(study: Study) -> Iterator[str]:
    for method in study.methods:
        for column in study.columns:
            if study.leak(method, column) == "conditioned":
                yield (
                    f"{MARKS['conditioned']} {method} is conditioned on {column.encoder}, "
                    f"as {column.title} is: not ranked there."
                )


def _trained(study: Study) -> Iterator[str]:
    for method in study.methods:
        if seen := study.trained_on_run(study.trained_on(method)):
            yield (
                f"{MARKS['trained']} {method} was trained on {', '.join(seen)}, "
                "which holds people of this run: ranked nowhere."
            )
    for column in study.columns:
        if seen := study.trained_on_run(column.trained_on):
            yield (
                f"{MARKS['judge trained']} {column.encoder}, behind {column.title}, was trained on "
                f"{', '.join(seen)}, which holds people of this run: nothing is ranked by it."
            )


def missing(study: Study) -> str:
    """Why pictures that are there have no score."""
    rows: dict[tuple[str, str], list[str]] = {}
    for column in [*picture_columns(study), *prior_columns(study)]:
        for label in [*study.methods, REAL_SAME, REAL_OTHER]:
            for why, count in entry(study, label, column).whys.items():
                if not why.startswith(NO_PICTURE):
                    rows.setdefault((column.title, why), []).append(f"{label} {count}")
    if not rows:
        return ""
    lines = [f"{title}: {why} ({', '.join(labels)})" for (title, why), labels in rows.items()]
    return "## Missing scores\n\nWith the number of pictures.\n\n" + bullets(lines)


def dataset(study: Study) -> str:
    """What is missing of the dataset, and which held-out photographs nearly are references."""
    remarks = study.account.get("dataset", [])
    return "## Dataset\n\n" + bullets(remarks) if remarks else ""


def provenance(study: Study) -> str:
    """What the numbers rest on."""
    account = study.account
    machine = {key: value for key, value in account.get("machine", {}).items() if value}
    lines = [
        f"commit {account.get('commit') or 'unknown'}; {', '.join(f'{k} {v}' for k, v in machine.items())}",
        ", ".join(f"{k.removeprefix('library ')} {v}" for k, v in account.get("libraries", {}).items()),
        *_taught(study),
        *(f"{c.title}: {', '.join(f'{k} {v}' for k, v in c.fingerprint.items())}" for c in study.columns),
    ]
    return "## Provenance\n\n" + bullets(lines)


def _taught(study: Study) -> Iterator[str]:
    """Who was trained on whom, beside whose pictures are judged here."""
    origins = sorted({str(about.get("origin", "")) for about in study.people.values()} - {""})
    if origins:
        yield f"the people of this run: {', '.join(origins)}"
    taught = [f"{method} {', '.join(study.trained_on(method))}" for method in study.methods]
    taught = [line for line in taught if not line.endswith(" ")]
    if taught:
        yield f"pretrained weights of methods, trained on: {'; '.join(taught)}"
