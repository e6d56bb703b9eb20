"""The report's numbers for programs: long CSV, or JSON."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench.analysis import entry, picture_columns, set_columns, set_entry, set_labels, share
from bench.costs import costs_of
from bench.score import REAL_OTHER, REAL_SAME
from bench.study import Study

FIELDS = (
    "method",
    "metric",
    "encoder",
    "value",
    "low",
    "high",
    "n",
    "of",
    "against",
    "share",
    "leaks",
    "why",
)


def as_csv(study: Study) -> str:
    """One line per row and column of the tables; numbers in full."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_lines(study))
    return buffer.getvalue()


def as_json(study: Study) -> str:
    """The same lines, with costs, failures and provenance."""
    content = {
        "run": dict(study.account),
        "columns": [asdict(column) for column in study.columns],
        "scores": list(_lines(study)),
        "costs": {method: asdict(costs_of(study, method)) for method in study.methods},
        "failures": [asdict(cell) for cell in study.cells if cell.status != "drawn" or cell.flaw],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _lines(study: Study) -> Iterator[dict[str, Any]]:
    empty = dict.fromkeys(FIELDS)
    for column in picture_columns(study):
        for label in [*study.methods, REAL_SAME, REAL_OTHER]:
            found = entry(study, label, column)
            about: dict[str, Any] = {"method": label, "metric": column.name, "encoder": column.encoder}
            about |= {"n": found.n, "of": found.of, "leaks": found.leaks}
            about |= {"why": "; ".join(f"{count} x {why}" for why, count in found.whys.items())}
            if found.estimate is not None:
                mean = found.estimate
                about |= {"value": mean.mean, "low": mean.low, "high": mean.high}
                about |= {"share": share(study, label, column)}
            yield {**empty, **about}
    for column in set_columns(study):
        for label in set_labels(study):
            whole = set_entry(study, label, column)
            if whole is None:
                continue
            low, high = whole.interval or (None, None)
            about = {"method": label, "metric": column.name, "encoder": column.encoder}
            about |= {"value": whole.value, "low": low, "high": high, "n": whole.n, "against": whole.against}
            yield {**empty, **about, "leaks": whole.leaks, "why": whole.why}
