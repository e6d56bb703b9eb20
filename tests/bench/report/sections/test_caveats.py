"""Limits of the tables: notes, missing scores, provenance."""

from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.report.sections.caveats import missing_section, notes, provenance_section
from bench.runs.finished_run import FinishedRun

FACE = column("identity", "sface")


def run(**trained: list[str] | None) -> FinishedRun:
    """A run of rows with the given training data; None: without pretrained weights."""
    cells = [cell(row, who, "p0") for row in trained for who in ("ada", "bob")]
    rows = [one for row in trained for who in ("ada", "bob") for one in scores(FACE, row, who, [0.5])]
    records = {
        row: {
            "trained_on": data or [],
            "fingerprint_parts": {} if data is None else {"weights adapter.safetensors": "0" * 16},
        }
        for row, data in trained.items()
    }
    return finished_run((FACE,), cells, rows, methods=records)


def test_rows_with_different_training_data_are_named_in_groups() -> None:
    text = "".join(notes(run(adapter=[], one=["faces-train"], other=["faces-train"], tuned=None)))
    assert (
        "have different training data (adapter: data that the files do not name; one, other: faces-train)"
    ) in text
    assert "tuned" not in text


def test_rows_with_the_same_training_data_need_no_note() -> None:
    text = "".join(notes(run(one=["faces-train"], other=["faces-train"], tuned=None)))
    assert "different training data" not in text


def test_few_people_have_no_verdict() -> None:
    assert any("they need at least 5 people" in note for note in notes(run(one=None)))


def test_missing_scores_are_counted_by_reason_and_row() -> None:
    cells = [cell("one", who, "p0") for who in ("ada", "bob")]
    rows = [row for who in ("ada", "bob") for row in scores(FACE, "one", who, ["no face"])]
    text = missing_section(compare(finished_run((FACE,), cells, rows)))
    assert "* identity (sface): no face (one 2)" in text
    assert missing_section(compare(run(one=None))) == ""


def test_provenance_names_the_training_data_of_pretrained_weights() -> None:
    assert "* training data of the methods' pretrained weights: one faces-train" in provenance_section(
        run(one=["faces-train"], tuned=None)
    )
