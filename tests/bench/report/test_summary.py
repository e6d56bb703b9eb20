"""What `bench run` prints at its end."""

from dataclasses import replace

from fake_run import cell, column, finished_run, scores
from known_run import known_run

from bench.analysis.comparison_table import compare
from bench.report.cell_text import entry_text
from bench.report.summary import MOST_ROWS, summary
from bench.report.terminal import fitted


def test_summary_is_one_screen() -> None:
    lines = fitted(summary(compare(known_run())), 100).splitlines()
    assert len(lines) <= 30


def test_summary_has_numbers_of_the_table() -> None:
    table = compare(known_run())
    line = next(line for line in summary(table).splitlines() if line.startswith("| tuned"))
    assert entry_text(table.image_columns[0].entry("tuned")) in line


def test_ranking_in_words_says_what_is_not_separable() -> None:
    text = summary(compare(known_run()))
    assert "* identity (sface): best close; not separable from it: tuned" in text or (
        "* identity (sface): best tuned; not separable from it: close" in text
    )


def test_what_a_reader_must_know() -> None:
    text = summary(compare(known_run()))
    reasons = "1 x failed: RuntimeError: out of memory; 1 x the image is black"
    assert f"2 of 114 images failed or show nothing: {reasons}" in text
    assert "not ranked by all metrics (†, § or ‡, see the report): leaky" in text


def test_fewer_than_five_people_get_no_verdict() -> None:
    run = known_run()
    few = tuple(row for row in run.scores if row.identity in ("ada", "bob"))
    assert "no verdict below 5 people" in summary(compare(replace(run, scores=few)))


def test_run_with_many_rows_shows_the_best() -> None:
    metric = column("identity", "sface")
    labels = [f"m{i}" for i in range(30)]
    rows = [row for i, label in enumerate(labels) for row in scores(metric, label, "ada", [i / 30])]
    text = summary(compare(finished_run((metric,), [cell(label, "ada", "p0") for label in labels], rows)))
    assert "| m29" in text
    assert "| m0 " not in text
    assert text.count("\n| m") <= MOST_ROWS + 1
    assert "12 more rows in the report." in text


def test_table_of_one_column_is_shown_in_a_narrow_terminal() -> None:
    assert "identity (sface)" in summary(compare(known_run()), 10)
