"""Counts of unusable images."""

from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.analysis.failures import failure_counts
from bench.report.sections.failures import failure_section
from bench.runs.finished_run import FinishedRun

FOUND, SEVERAL = column("detected", "eye"), column("multi-face", "eye", better="lower")


def run(columns: tuple = (FOUND, SEVERAL)) -> FinishedRun:
    cells = [
        cell("good", "ada", "p0"),
        cell("good", "ada", "p1"),
        cell("bad", "ada", "p0", status="failed", reason="RuntimeError: out of memory"),
        cell("bad", "ada", "p1", status="missing", reason="not generated"),
        cell("bad", "ada", "p2", flaw="nan"),
        cell("bad", "ada", "p3", flaw="black"),
        cell("bad", "ada", "p4", flaw="constant"),
        cell("bad", "ada", "p5", flaw="constant"),
        cell("bad", "ada", "p6"),
    ]
    rows = [
        *scores(FOUND, "good", "ada", [1.0, 1.0]),
        *scores(SEVERAL, "good", "ada", [1.0, 0.0]),
        *scores(FOUND, "bad", "ada", ["failed: x", "missing: x", 0.0, 0.0, 0.0, 0.0, 1.0]),
        *scores(SEVERAL, "bad", "ada", ["failed: x", "missing: x", *["no face found"] * 4, 0.0]),
    ]
    return finished_run(columns, cells, rows)


def test_every_kind_is_counted_for_every_method() -> None:
    counts = failure_counts(run())
    assert counts["good"] == {
        "pictures": 2,
        "crashed": 0,
        "not generated": 0,
        "nan": 0,
        "black": 0,
        "constant": 0,
        "no face (eye)": 0,
        "several faces (eye)": 1,
    }
    assert list(counts["bad"].values()) == [7, 1, 1, 1, 1, 2, 4, 0]


def test_one_table_contains_all_methods_and_the_reasons_follow() -> None:
    text = failure_section(compare(run()))
    assert "| bad    | 7      | 1       | 1             | 1   | 1     | 2        | 4             | 0 " in text
    assert "bad, 1 cell: failed: RuntimeError: out of memory" in text
    assert text.count("| method") == 1


def test_faces_that_no_metric_counted_are_not_zero() -> None:
    text = failure_section(compare(run(columns=())))
    assert "several faces" not in text
    assert "`detected` and `multi-face`: not in the suite" in text


def test_run_without_cells_has_no_section() -> None:
    assert failure_section(compare(finished_run((), (), ()))) == ""
