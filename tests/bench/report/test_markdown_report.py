"""The Markdown report of a run with known numbers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from known_run import known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.report.markdown_report import markdown, set_section, share_section
from bench.runs.records.run_manifest import MethodRecord
from bench.runs.records.tables import REAL_SET


@pytest.fixture
def table() -> ComparisonTable:
    return compare(known_run())


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_report_equals_the_golden_file(table: ComparisonTable, golden: Callable[[str, str], None]) -> None:
    golden("table.md", markdown(table))


def test_overlap_is_marked_and_explained(table: ComparisonTable) -> None:
    text = markdown(table)
    assert "†" in line_of(text, "| leaky")
    assert "leaky is conditioned on sface" in text


def test_overlap_is_marked_in_every_table(table: ComparisonTable) -> None:
    sections = {text.splitlines()[0]: text for text in markdown(table).split("\n## ")}
    for title in ("Scores", "Share of the way", "Against the floor and the ceiling", "Groups"):
        lines = [line for line in sections[title].splitlines() if "| leaky" in line]
        assert any("†" in line for line in lines), title
        assert "†" not in "".join(line for line in sections[title].splitlines() if "| tuned" in line), title


def test_set_that_is_too_small_has_no_score_but_a_reason(table: ComparisonTable) -> None:
    reason = "9 generated and 40 real images, expected at least 16 of each"
    sets = [
        replace(row, value=None, reason=reason, n=9) if row.method == "tuned" else row
        for row in table.run.sets
        if not row.left_out
    ]
    text = set_section(compare(replace(table.run, sets=tuple(sets))))
    assert line_of(text, "| tuned").count("not computed") == 1
    assert f"not computed 1 time: {reason}" in text
    assert "N = 18 images per row, compared with 40 real photographs" in text
    assert any(line.startswith(f"| {REAL_SET}") and "15.0" in line for line in text.splitlines())


def test_every_column_has_shares_or_a_reason(table: ComparisonTable) -> None:
    text = share_section(table)
    for column in table.run.columns:
        assert column.title in text or column.of == "priors"
    assert "there is no floor" in text


def test_images_without_the_subject_are_counted_apart(table: ComparisonTable) -> None:
    assert "3 prompts; 113 of 114 images, 24 of them without the subject" in markdown(table)


def test_run_without_people_and_training_data_has_a_report(table: ComparisonTable) -> None:
    run = table.run
    methods = {
        label: MethodRecord(record.conditioning_encoders) for label, record in run.manifest.methods.items()
    }
    text = markdown(compare(replace(run, manifest=replace(run.manifest, people={}, methods=methods))))
    assert "## Groups" not in text
    assert "leaky is conditioned on sface" in text


def test_bound_of_the_inception_score_is_noted(table: ComparisonTable) -> None:
    fid = table.run.columns[-1]
    inception = replace(fid, name="is", better="higher", fingerprint={"splits": "2, seed 0"})
    run = replace(table.run, columns=(*table.run.columns, inception))
    assert "is (lite0) can be at most N / splits = 9" in markdown(compare(run))
