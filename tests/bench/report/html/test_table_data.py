"""The comparison table of the page."""

from bench.analysis.comparison_table import ComparisonTable
from bench.report.html.table_data import table_data
from bench.report.markdown_report import markdown


def test_texts_are_those_of_the_markdown_report(table: ComparisonTable) -> None:
    text, data = markdown(table), table_data(table)
    shown = {cell["value"]["text"] for column in data["columns"] for cell in column["cells"]}
    assert len(shown) > 15
    assert [found for found in shown if f" {found} " not in text] == []


def test_numbers_to_sort_by_are_those_of_the_table(table: ComparisonTable) -> None:
    data = table_data(table)
    rows = [row["label"] for row in data["rows"]]
    column, cells = table.image_columns[0], data["columns"][0]["cells"]
    for label, cell in zip(rows, cells, strict=True):
        estimate, contrast = column.entry(label).estimate, column.against_floor.get(label)
        assert cell["value"]["value"] == (estimate.mean if estimate else None)
        assert cell["difference"]["value"] == (contrast.difference.mean if contrast else None)


def test_overlap_has_a_reason_and_no_standing(table: ComparisonTable) -> None:
    data = table_data(table)
    leaky = [row["label"] for row in data["rows"]].index("leaky")
    cell = data["columns"][0]["cells"][leaky]
    assert "conditioned on the encoder" in cell["note"]
    assert cell["standing"] == ""


def test_best_method_and_those_not_separable_from_it(table: ComparisonTable) -> None:
    column = table.image_columns[0]
    cells = table_data(table)["columns"][0]["cells"]
    rows = [row["label"] for row in table_data(table)["rows"]]
    standing = {label: cell["standing"] for label, cell in zip(rows, cells, strict=True) if cell["standing"]}
    assert [label for label, found in standing.items() if found == "best"] == column.ranking[:1]
    near = {label for label, found in standing.items() if found == "not separable from the best"}
    assert near == {
        label
        for contrast in column.contrasts
        if not contrast.separable
        for label in (contrast.one, contrast.other)
    } - set(column.ranking[:1])
