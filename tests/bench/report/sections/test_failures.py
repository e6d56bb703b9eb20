"""Counts of unusable images."""

from dataclasses import replace

from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.analysis.failures import class_image_failure_counts, failure_counts
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
        cell("bad", "ada", "p7"),
        cell("bad", "ada", "prior", "prior", flaw="black"),
        cell("bad", "ada", "prior2", "prior"),
    ]
    rows = [
        *scores(FOUND, "good", "ada", [1.0, 1.0]),
        *scores(SEVERAL, "good", "ada", [1.0, 0.0]),
        *scores(FOUND, "bad", "ada", ["failed: x", "missing: x", 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        *scores(
            SEVERAL, "bad", "ada", ["failed: x", "missing: x", *["no face found"] * 4, 0.0, "no face found"]
        ),
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
    # The tables contain scores of the four images without content, as those of earlier versions do.
    assert list(counts["bad"].values()) == [8, 1, 1, 1, 1, 2, 1, 0]


def test_class_images_are_counted_apart_without_faces() -> None:
    assert class_image_failure_counts(run()) == {
        "bad": {"pictures": 2, "crashed": 0, "not generated": 0, "nan": 0, "black": 1, "constant": 0}
    }


def test_all_counts_of_a_line_are_of_its_images() -> None:
    found = run()
    rows = [scores(FOUND, "good", "ada", [0.0, 1.0]), scores(FOUND, "bad", "ada", ["x"] * 2 + [0.0] * 6)]
    counts = failure_counts(replace(found, scores=tuple(row for part in rows for row in part)))
    for kinds in counts.values():
        images = kinds.pop("pictures")
        assert images is not None
        assert sum(count or 0 for count in kinds.values()) <= images
    assert counts["bad"]["no face (eye)"] == 2


def test_one_table_contains_all_methods_and_the_reasons_follow() -> None:
    text = failure_section(compare(run()))
    lines = [[field.strip() for field in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["bad", "8", "1", "1", "1", "1", "2", "1", "0"] in lines
    assert ["method", "class images", "crashed", "not generated", "nan", "black", "constant"] in lines
    assert ["bad", "2", "0", "0", "0", "1", "0"] in lines
    assert "bad, 1 cell: failed: RuntimeError: out of memory" in text
    assert text.count("| method") == 2


def test_faces_that_no_metric_counted_are_not_zero() -> None:
    text = failure_section(compare(run(columns=())))
    assert "several faces" not in text
    assert "`detected` and `multi-face`: not in the suite" in text


def test_run_without_cells_has_no_section() -> None:
    assert failure_section(compare(finished_run((), (), ()))) == ""
