"""The numbers of a run are the same in every format of its report."""

import csv
import io
import json
import re
from typing import Any

import pytest
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.markdown import number
from bench.report.formats.export import as_csv, as_json
from bench.report.formats.latex import as_latex, escaped
from bench.report.html.table_data import table_data
from bench.report.markdown_report import markdown

Numbers = dict[tuple[str, str, str], str]
"""By method, metric and encoder, the value and its interval as printed."""


def printed(record: dict[str, Any]) -> str:
    value, low, high = (
        None if record[key] in (None, "") else float(record[key]) for key in ("value", "low", "high")
    )
    return "" if value is None else number(value, low, high)


@pytest.fixture
def table() -> ComparisonTable:
    return compare(known_run())


@pytest.fixture
def numbers(table: ComparisonTable) -> Numbers:
    records = csv.DictReader(io.StringIO(as_csv(table)))
    return {(r["method"], r["metric"], r["encoder"]): text for r in records if (text := printed(r))}


def test_json_has_those_of_csv(table: ComparisonTable, numbers: Numbers) -> None:
    records = json.loads(as_json(table))["scores"]
    found = {(r["method"], r["metric"], r["encoder"] or ""): printed(r) for r in records}
    assert {key: text for key, text in found.items() if text} == numbers


def test_page_has_those_of_csv(table: ComparisonTable, numbers: Numbers) -> None:
    data, found = table_data(table), {}
    columns = [c.column for c in (*table.image_columns, *table.set_columns, *table.prior_columns)]
    for column, shown in zip(columns, data["columns"], strict=True):
        for row, cell in zip(data["rows"], shown["cells"], strict=True):
            if cell["value"]["value"] is not None:
                text = re.sub(r" (\(.*\)|[†‡§])", "", cell["value"]["text"])
                found[row["label"], column.name, column.encoder] = text
    assert found == numbers


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_text_has_those_of_csv(table: ComparisonTable, numbers: Numbers, form: str) -> None:
    text = markdown(table) if form == "markdown" else as_latex(table)
    if form == "latex":
        text = (
            re.sub(r"\\textbf\{([^}]*)\}", r"\1", text)
            .replace(r"{\scriptsize ", "")
            .replace("]}", "]")
            .replace("$-$", "-")
        )
    names = {key: key[0] if form == "markdown" else escaped(key[0]) for key in numbers}
    lines = {key: [line for line in text.splitlines() if names[key] in line] for key in numbers}
    missing = [key for key, own in lines.items() if not any(numbers[key] in line for line in own)]
    assert missing == []
