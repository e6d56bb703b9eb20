"""The report's numbers for programs: long CSV, or JSON."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench.analysis.comparisons import (
    entry,
    picture_columns,
    prior_columns,
    set_columns,
    set_entry,
    set_labels,
    share,
)
from bench.report.sections.costs import costs_of
from bench.report.sections.failures import failure_counts
from bench.report.sections.rank_agreement import judges
from bench.report.sections.subgroups import group_entries, groupings
from bench.runs.finished_run import Study
from bench.runs.tables import REAL_OTHER, REAL_SAME

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
    "leak",
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
    """The same lines, with groups, agreement, costs, failures and provenance."""
    content = {
        "run": dict(study.account),
        "columns": [asdict(column) for column in study.columns],
        "scores": list(_lines(study)),
        "groups": list(_groups(study)),
        "agreement": [
            {"one": two.one.title, "other": two.other.title, **asdict(two.agreement), "methods": two.methods}
            for two in judges(study)
        ],
        "costs": {method: asdict(costs_of(study, method)) for method in study.methods},
        "failures": failure_counts(study),
        "failed_cells": [asdict(cell) for cell in study.cells if cell.status != "drawn" or cell.flaw],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _groups(study: Study) -> Iterator[dict[str, Any]]:
    for attribute, people in groupings(study).items():
        for column in picture_columns(study):
            if column.name != "identity":
                continue
            for label, entries in group_entries(study, column, people).items():
                for value, found in zip(people, entries, strict=True):
                    about = {"method": label, "column": column.title, "attribute": attribute, "group": value}
                    numbers = asdict(found.estimate) if found.estimate is not None else {"mean": None}
                    yield {**about, "people": len(people[value]), **numbers, "n": found.n, "of": found.of}


def _lines(study: Study) -> Iterator[dict[str, Any]]:
    empty = dict.fromkeys(FIELDS)
    for column in [*picture_columns(study), *prior_columns(study)]:
        for label in [*study.methods, REAL_SAME, REAL_OTHER]:
            found = entry(study, label, column)
            about: dict[str, Any] = {"method": label, "metric": column.name, "encoder": column.encoder}
            about |= {"n": found.n, "of": found.of, "leak": found.leak}
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
            yield {**empty, **about, "leak": whole.leak, "why": whole.why}
