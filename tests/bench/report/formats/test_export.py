"""CSV and JSON of the comparison table."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import ValidationError, validate
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.report.formats.export import FIELDS, as_csv, as_json
from bench.runs.finished_run import FinishedRun


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


SCHEMA = json.loads(files("bench.report.formats").joinpath("report.schema.json").read_text("utf-8"))


def run_with_two_fits() -> FinishedRun:
    """The known run, with a second fit of everybody."""
    run = known_run()
    cells = (replace(row, cell=f"{row.cell}b", sample=2, fit=2) for row in run.cells)
    return replace(
        run,
        cells=(*run.cells, *cells),
        scores=(*run.scores, *(replace(row, sample=2) for row in run.scores)),
    )


@pytest.mark.parametrize("run", [known_run(), run_with_two_fits()], ids=["one fit", "two fits"])
def test_json_follows_its_schema(run: FinishedRun) -> None:
    content = json.loads(as_json(compare(run)))
    assert [key for key, value in content.items() if value in ([], {}) and key != "fit_variance"] == []
    validate(content, SCHEMA)
    with pytest.raises(ValidationError):
        validate({**content, "scores": [{**content["scores"][0], "other": 1}]}, SCHEMA)


def test_schema_describes_every_key() -> None:
    def without_description(schema: Any, path: str) -> Iterator[str]:
        for name, own in schema.get("properties", {}).items():
            if not own.get("description"):
                yield f"{path}/{name}"
            yield from without_description(own, f"{path}/{name}")
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                yield from without_description(schema[key], f"{path}/{key}")

    assert list(without_description(SCHEMA, "")) == []
