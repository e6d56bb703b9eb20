"""The numbers of a run are the same in every format of its report."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean
from typing import Any

import pytest
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.markdown import number
from bench.report.formats.export import as_csv, as_json
from bench.report.formats.latex import as_latex, escaped
from bench.report.formats.score_rows import scores_csv
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
    for column, shown in zip(columns, data["columns"][:-1], strict=True):
        for row, cell in zip(data["rows"], shown["cells"], strict=True):
            if cell["value"]["value"] is not None:
                text = re.sub(r" (\(.*\)|[†‡§])", "", cell["value"]["text"])
                found[row["label"], column.name, column.encoder] = text
    assert found == numbers


def test_markdown_has_those_of_csv(table: ComparisonTable, numbers: Numbers) -> None:
    blocks = [block for block in markdown(table).split("\n\n") if block.startswith("| method ")]
    lines = [[line.strip("| ").split(" | ") for line in block.splitlines()] for block in blocks]
    found = by_title((header, own) for header, _, *own in lines)
    assert {place: found[place] for place in titled(numbers)} == titled(numbers)


def test_latex_has_those_of_csv(table: ComparisonTable, numbers: Numbers) -> None:
    text = re.sub(r"\\textbf\{([^}]*)\}|\{\\scriptsize ([^}]*)\}", r"\1\2", as_latex(table))
    text = text.replace("$-$", "-").replace(r" $\approx$", "")
    blocks = re.findall(r"\\toprule\n(.*?)\n\\bottomrule", text, re.DOTALL)
    lines = [[line.removesuffix(r" \\").split(" & ") for line in block.splitlines()] for block in blocks]
    found = by_title(
        ([f"{name} {encoder}" for name, encoder in zip(names, encoders, strict=True)], own)
        for names, encoders, _, *own in lines
    )
    names = {escaped(label): label for label in (*table.rows, *table.set_rows)}
    found = {(names[label], title): number for (label, title), number in found.items()}
    assert {place: text for place, text in found.items() if text != "--"} == titled(numbers)


def by_title(tables: Iterable[tuple[list[str], list[list[str]]]]) -> dict[tuple[str, str], str]:
    """By row and title of the column, the number with its interval; the first table that has both counts."""
    found: dict[tuple[str, str], str] = {}
    for header, lines in tables:
        titles = [re.sub(r" (↑|↓|\$\\(up|down)arrow\$)", "", name).strip() for name in header]
        for label, *cells in lines:
            for title, cell in zip(titles[1:], cells, strict=True):
                text = re.sub(r" \(\d+ of \d+\)| ?[†‡§]|\$\^.*?\$", "", cell).strip()
                found.setdefault((label.strip(), title), text)
    return found


def titled(numbers: Numbers) -> dict[tuple[str, str], str]:
    return {(row, f"{metric} ({encoder})"): text for (row, metric, encoder), text in numbers.items()}


def test_rows_of_scores_have_the_means_of_csv(table: ComparisonTable, numbers: Numbers) -> None:
    rows = list(csv.DictReader(io.StringIO(scores_csv(table.run))))
    assert [float(row["value"]) for row in rows if row["value"]] == [
        row.value for row in table.run.scores if row.value is not None
    ]
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row["value"]:
            values[row["method"], row["metric"], row["encoder"]].append(float(row["value"]))
    means = {key: number(fmean(own)) for key, own in values.items()}
    of_images = {key: text.partition(" ")[0] for key, text in numbers.items() if key[1] != "fid"}
    assert means == of_images
