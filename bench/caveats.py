"""What must be known before one believes the tables: leaks, missing scores, failures, provenance."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bench.analysis import entry, picture_columns
from bench.markdown import bullets
from bench.score import NO_PICTURE, REAL_OTHER, REAL_SAME
from bench.study import Study

LEAK: Final = "†"


def notes(study: Study) -> Iterator[str]:
    """Below the scores: why there are no intervals, and which numbers leak."""
    if len({cell.identity for cell in study.cells}) < 2:
        yield "No intervals: one person says nothing about others."
    leaking = [
        f"{LEAK} {method} is conditioned on {column.encoder}, as {column.title} is: not ranked there."
        for method in study.methods
        for column in study.columns
        if study.leaks(method, column)
    ]
    if leaking:
        yield bullets(leaking)


def missing(study: Study) -> str:
    """Why pictures that are there have no score."""
    rows: dict[tuple[str, str], list[str]] = {}
    for column in picture_columns(study):
        for label in [*study.methods, REAL_SAME, REAL_OTHER]:
            for why, count in entry(study, label, column).whys.items():
                if not why.startswith(NO_PICTURE):
                    rows.setdefault((column.title, why), []).append(f"{label} {count}")
    if not rows:
        return ""
    lines = [f"{title}: {why} ({', '.join(labels)})" for (title, why), labels in rows.items()]
    return "## Missing scores\n\nWith the number of pictures.\n\n" + bullets(lines)


def failures(study: Study) -> str:
    """Cells without a picture, and pictures that show nothing."""
    found = Counter((c.method, f"{c.status}: {c.why}") for c in study.cells if c.status != "drawn")
    found += Counter((c.method, f"the picture is {c.flaw}") for c in study.cells if c.flaw)
    if not found:
        return ""
    lines = [f"{method}, {count} cells: {why}" for (method, why), count in sorted(found.items())]
    return "## Failures\n\n" + bullets(lines)


def provenance(study: Study) -> str:
    """What the numbers rest on."""
    account = study.account
    machine = {key: value for key, value in account.get("machine", {}).items() if value}
    lines = [
        f"commit {account.get('commit') or 'unknown'}; {', '.join(f'{k} {v}' for k, v in machine.items())}",
        ", ".join(f"{k.removeprefix('library ')} {v}" for k, v in account.get("libraries", {}).items()),
        *(f"{c.title}: {', '.join(f'{k} {v}' for k, v in c.fingerprint.items())}" for c in study.columns),
    ]
    return "## Provenance\n\n" + bullets(lines)
