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
from bench.report.sections.rank_agreement import face_metric_pairs
from bench.report.sections.subgroups import group_entries, groupings
from bench.runs.finished_run import FinishedRun
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
    "overlap",
    "reason",
)


def as_csv(run: FinishedRun) -> str:
    """One line per row and column of the tables; numbers in full."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_lines(run))
    return buffer.getvalue()


def as_json(run: FinishedRun) -> str:
    """The same lines, with groups, agreement, costs, failures and provenance."""
    content = {
        "run": asdict(run.manifest),
        "columns": [asdict(column) for column in run.columns],
        "scores": list(_lines(run)),
        "groups": list(_groups(run)),
        "agreement": [
            {"one": two.one.title, "other": two.other.title, **asdict(two.agreement), "methods": two.methods}
            for two in face_metric_pairs(run)
        ],
        "costs": {method: asdict(costs_of(run, method)) for method in run.methods},
        "failures": failure_counts(run),
        "failed_cells": [asdict(cell) for cell in run.cells if cell.status != "generated" or cell.flaw],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _groups(run: FinishedRun) -> Iterator[dict[str, Any]]:
    for attribute, people in groupings(run).items():
        for column in picture_columns(run):
            if column.name != "identity":
                continue
            for label, entries in group_entries(run, column, people).items():
                for value, found in zip(people, entries, strict=True):
                    about = {"method": label, "column": column.title, "attribute": attribute, "group": value}
                    numbers = asdict(found.estimate) if found.estimate is not None else {"mean": None}
                    yield {**about, "people": len(people[value]), **numbers, "n": found.n, "of": found.of}


def _lines(run: FinishedRun) -> Iterator[dict[str, Any]]:
    empty = dict.fromkeys(FIELDS)
    for column in [*picture_columns(run), *prior_columns(run)]:
        for label in [*run.methods, REAL_SAME, REAL_OTHER]:
            found = entry(run, label, column)
            about: dict[str, Any] = {"method": label, "metric": column.name, "encoder": column.encoder}
            about |= {"n": found.n, "of": found.of, "overlap": found.overlap}
            about |= {"reason": "; ".join(f"{count} x {reason}" for reason, count in found.reasons.items())}
            if found.estimate is not None:
                mean = found.estimate
                about |= {"value": mean.mean, "low": mean.low, "high": mean.high}
                about |= {"share": share(run, label, column)}
            yield {**empty, **about}
    for column in set_columns(run):
        for label in set_labels(run):
            whole = set_entry(run, label, column)
            if whole is None:
                continue
            low, high = whole.interval or (None, None)
            about = {"method": label, "metric": column.name, "encoder": column.encoder}
            about |= {"value": whole.value, "low": low, "high": high, "n": whole.n, "against": whole.against}
            yield {**empty, **about, "overlap": whole.overlap, "reason": whole.reason}
