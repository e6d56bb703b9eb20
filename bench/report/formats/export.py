"""The comparison table for programs: long CSV, or JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.curves.match_rates import match_rate_curves
from bench.analysis.failures import class_image_failure_counts
from bench.analysis.set_columns import SetColumn
from bench.analysis.subgroups import SubgroupComparison

FIELDS: Final = (
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
VERSION: Final = 1
"""Of the JSON format; a key that is removed or gets another meaning makes a new version."""


def as_csv(table: ComparisonTable) -> str:
    """One line per row and column of the tables; numbers in full."""
    import pandas as pd

    # Objects, because NaN in a column of integers would turn them into floats.
    frame = pd.DataFrame(score_records(table), columns=list(FIELDS), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def as_json(table: ComparisonTable) -> str:
    """The same lines, with groups, agreement, costs, failures and provenance; see report.schema.json."""
    run = table.run
    content = {
        "version": VERSION,
        "run": asdict(run.manifest),
        "columns": [asdict(column) for column in run.columns],
        "scores": score_records(table),
        "groups": [record for subgroups in table.subgroups for record in _group_records(subgroups)],
        "agreement": [
            {**asdict(two), "one": two.one.title, "other": two.other.title} for two in table.rank_agreements
        ],
        "contrasts": contrast_records(table),
        "fit_variance": [
            {"column": column.column.title, "method": label, **asdict(found)}
            for column in table.image_columns
            for label, found in column.fit_variances.items()
        ],
        "match_rates": [record for column in table.image_columns for record in _match_rate_records(column)],
        "costs": {method: asdict(costs) for method, costs in table.costs.items()},
        "failures": table.failures,
        "class_image_failures": class_image_failure_counts(run),
        "failed_cells": [asdict(cell) for cell in run.cells if cell.status != "generated" or cell.flaw],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def score_records(table: ComparisonTable) -> list[dict[str, Any]]:
    empty = dict.fromkeys(FIELDS)
    columns = [*table.image_columns, *table.prior_columns]
    images = [_image_record(column, row) for column in columns for row in table.rows]
    sets = [_set_record(c, row) for c in table.set_columns for row in c.entries]
    return [{**empty, **record} for record in (*images, *sets)]


def contrast_records(table: ComparisonTable) -> list[dict[str, Any]]:
    """Every compared pair of methods, with random and with fixed prompts."""
    return [
        {
            "metric": column.column.name,
            "encoder": column.column.encoder,
            "prompts": prompts,
            "one": contrast.one,
            "other": contrast.other,
            "difference": contrast.difference.mean,
            "low": contrast.difference.low,
            "high": contrast.difference.high,
            "p": contrast.p,
            "pairs": contrast.difference.n,
            "verdict": contrast.verdict,
        }
        for column in [*table.image_columns, *table.prior_columns]
        for prompts, contrasts in (
            ("random", column.contrasts),
            ("fixed", column.contrasts_with_fixed_prompts),
        )
        for contrast in contrasts
    ]


def _match_rate_records(column: ImageColumn) -> Iterator[dict[str, Any]]:
    """The match rates of every row at some false-match rates."""
    for curve in match_rate_curves(column):
        for point in curve.points:
            yield {
                "method": curve.label,
                "metric": column.column.name,
                "encoder": column.column.encoder,
                "false_match_rate": point.false_match_rate,
                "threshold": point.threshold,
                "match_rate": point.match_rate.mean,
                "low": point.match_rate.low,
                "high": point.match_rate.high,
                "n": point.match_rate.n,
            }


def _image_record(column: ImageColumn, label: str) -> dict[str, Any]:
    entry = column.entry(label)
    record: dict[str, Any] = {"method": label, "metric": column.column.name, "encoder": column.column.encoder}
    record |= {"n": entry.n, "of": entry.of, "overlap": entry.overlap}
    record |= {"reason": "; ".join(f"{count} x {reason}" for reason, count in entry.reasons.items())}
    if entry.estimate is not None:
        mean = entry.estimate
        record |= {
            "value": mean.mean,
            "low": mean.low,
            "high": mean.high,
            "share": share.value if (share := column.share(label)) else None,
        }
    return record


def _set_record(column: SetColumn, label: str) -> dict[str, Any]:
    entry = column.entries[label]
    low, high = entry.interval or (None, None)
    record: dict[str, Any] = {"method": label, "metric": column.column.name, "encoder": column.column.encoder}
    record |= {"value": entry.value, "low": low, "high": high, "n": entry.n, "against": entry.against}
    return record | {"overlap": entry.overlap, "reason": entry.reason}


def _group_records(subgroups: SubgroupComparison) -> Iterator[dict[str, Any]]:
    place = {"column": subgroups.column.title, "attribute": subgroups.attribute}
    for label, entries in subgroups.entries.items():
        for (value, people), entry in zip(subgroups.groups.items(), entries, strict=True):
            numbers = asdict(entry.estimate) if entry.estimate is not None else {"mean": None}
            yield {"method": label, **place, "group": value, "people": len(people), **numbers} | {
                "n": entry.n,
                "of": entry.of,
            }
