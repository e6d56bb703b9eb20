"""What must be known before one believes the tables: leaks, missing scores, failures, provenance."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bench.analysis import entry, picture_columns
from bench.markdown import bullets, table
from bench.score import REAL_OTHER, REAL_SAME
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
    """Why scores are missing."""
    lines = [
        [label, column.title, str(count), why]
        for column in picture_columns(study)
        for label in [*study.methods, REAL_SAME, REAL_OTHER]
        for why, count in entry(study, label, column).whys.items()
    ]
    if not lines:
        return ""
    return "## Missing scores\n\n" + table(["method", "metric", "pictures", "reason"], lines)


def failures(study: Study) -> str:
    """Cells without a picture, and pictures that show nothing."""
    found = Counter(
        (cell.method, str(cell.status), cell.why) for cell in study.cells if cell.status != "drawn"
    )
    found += Counter(
        (cell.method, "flawed", f"the picture is {cell.flaw}") for cell in study.cells if cell.flaw
    )
    if not found:
        return ""
    lines = [[method, kind, str(count), why] for (method, kind, why), count in sorted(found.items())]
    return "## Failures\n\n" + table(["method", "cells", "number", "reason"], lines)


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
