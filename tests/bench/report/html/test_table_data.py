"""The comparison table of the page."""

from dataclasses import replace

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.report.html.table_data import table_data
from bench.report.markdown_report import markdown
from bench.runs.records.tables import REAL_SAME


def test_texts_are_those_of_the_markdown_report(table: ComparisonTable) -> None:
    text, data = markdown(table), table_data(table)
    *measured, failures = data["columns"]
    assert failures["title"] == "failed images"
    shown = {cell["value"]["text"] for column in measured for cell in column["cells"]}
    assert len(shown) > 15
    assert [found for found in shown if f" {found} " not in text] == []


def test_numbers_to_sort_by_are_those_of_the_table(table: ComparisonTable) -> None:
    data = table_data(table)
    rows = [row["label"] for row in data["rows"]]
    column, cells = table.image_columns[0], data["columns"][0]["cells"]
    for label, cell in zip(rows, cells, strict=True):
        estimate, contrast = column.entry(label).estimate, column.against_floor.get(label)
        assert cell["value"]["value"] == (estimate.mean if estimate else None)
        assert cell["minus_floor"]["value"] == (contrast.difference.mean if contrast else None)


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


def test_modes_without_any_number_are_not_offered(table: ComparisonTable) -> None:
    modes = dict(table_data(table)["modes"])
    assert list(modes) == ["value", "share", "minus_floor", "minus_ceiling"]
    run = table.run
    alone = replace(
        run,
        cells=tuple(cell for cell in run.cells if not run.is_baseline(cell.method)),
        scores=tuple(row for row in run.scores if not run.is_baseline(row.method)),
    )
    assert list(dict(table_data(compare(alone))["modes"])) == ["value", "share"]


def test_failed_images_are_counted_with_their_kinds(table: ComparisonTable) -> None:
    data = table_data(table)
    cells = dict(zip([row["label"] for row in data["rows"]], data["columns"][-1]["cells"], strict=True))
    assert cells["tuned"]["value"] == {"text": "1 of 18", "value": 1}
    assert cells["tuned"]["note"] == "crashed: 1"
    # Several faces are no failed image.
    assert cells["close"]["value"]["value"] == 1
    assert cells["close"]["note"] == "black: 1, several faces (eye): 1"
    assert cells[REAL_SAME]["value"]["text"] == "-"
