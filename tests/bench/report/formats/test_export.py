"""CSV and JSON of the comparison table."""

import csv
import io
import json

import pytest
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.report.formats.export import FIELDS, as_csv, as_json


@pytest.fixture
def table() -> ComparisonTable:
    return compare(known_run())


def test_csv_has_one_line_per_row_and_column(table: ComparisonTable) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert list(lines[0]) == list(FIELDS)
    assert len(lines) == 4 * 7 + 6
    tuned = next(line for line in lines if line["method"] == "tuned")
    assert (tuned["n"], tuned["of"]) == ("15", "18")
    assert tuned["reason"] == "1 x failed: RuntimeError: out of memory; 2 x no face found"
    assert float(tuned["low"]) < float(tuned["value"]) < float(tuned["high"])


def test_csv_and_json_contain_the_same_numbers(table: ComparisonTable) -> None:
    lines = csv.DictReader(io.StringIO(as_csv(table)))
    records = json.loads(as_json(table))["scores"]
    for line, record in zip(lines, records, strict=True):
        assert line == {name: "" if value is None else str(value) for name, value in record.items()}


def test_json_contains_every_part_of_the_report(table: ComparisonTable) -> None:
    content = json.loads(as_json(table))
    assert content["scores"][2]["method"] == "tuned"
    assert {record["group"] for record in content["groups"]} == {"man", "woman"}
    assert content["agreement"][0]["methods"] == ["tuned", "close"]
    assert content["costs"]["tuned"]["fit_seconds"] == 2.5
    assert content["failures"]["tuned"]["crashed"] == 1
    assert [(cell["method"], cell["flaw"]) for cell in content["failed_cells"]] == [
        ("tuned", ""),
        ("close", "black"),
    ]
