"""What the report says of a run whose numbers are known."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.comparisons import (
    contrasts_between,
    contrasts_with,
    entry,
    picture_columns,
    ranked,
    set_columns,
    set_entry,
    share,
)
from bench.atomic_io import read_json, write_json
from bench.errors import ReportError
from bench.report.export import as_csv, as_json
from bench.report.markdown_report import markdown, shares
from bench.report.markdown_report import sets as sets_section
from bench.report.sections.costs import costs_of
from bench.report.sections.failures import failures
from bench.runs.finished_run import FinishedRun, latest_run, read_run
from bench.runs.tables import (
    CELLS,
    FITS,
    METRICS,
    REAL_OTHER,
    REAL_SAME,
    REAL_SET,
    SCORES,
    SETS,
    CellRow,
    FitRow,
    ScoreRow,
    SetRow,
    write_rows,
)

MEANS = {
    "text-only": 0.2,
    "photo-copy": 0.8,
    "tuned": 0.5,
    "close": 0.49,
    "leaky": 0.7,
    REAL_SAME: 0.8,
    REAL_OTHER: 0.1,
}
PEOPLE = ("ada", "bob", "cleo", "dan", "eva", "fay")
PROMPTS = ("hat", "tie", "sea")
FACE = {"weights": "abc"}
CROWD = ("close", "cleo", "sea")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run, without pictures: `leaky` is conditioned on the face network, `tuned` lost a face."""
    folder = tmp_path / "results" / "known"
    methods = [label for label in MEANS if label not in (REAL_SAME, REAL_OTHER)]
    write_rows(
        folder / CELLS,
        [
            *(cell(m, who, prompt) for m in methods for who in PEOPLE for prompt in PROMPTS),
            *(prior(m, who) for m in methods if m != "photo-copy" for who in PEOPLE),
        ],
        CellRow,
    )
    write_rows(
        folder / FITS, [FitRow(m, who, 2.5, 900.0, None, 1000) for m in methods for who in PEOPLE], FitRow
    )
    write_rows(folder / SCORES, [*scores(), *scores("in-domain"), *drifts(), *faces()], ScoreRow)
    write_rows(folder / SETS, list(sets(methods)), SetRow)
    columns = {
        "identity (sface)": {
            "name": "identity",
            "encoder": "sface",
            "better": "higher",
            "of": "pictures",
            "fingerprint": FACE,
        },
        "identity (in-domain)": {
            "name": "identity",
            "encoder": "in-domain",
            "better": "higher",
            "of": "pictures",
            "fingerprint": {"weights": "ghi", "trained on": "faces-train"},
        },
        "multi-face (eye)": {
            "name": "multi-face",
            "encoder": "eye",
            "better": "lower",
            "of": "pictures",
            "fingerprint": {"weights": "jkl"},
        },
        "drift (lite0)": {
            "name": "drift",
            "encoder": "lite0",
            "better": "lower",
            "of": "priors",
            "fingerprint": {"weights": "def"},
        },
        "fid (lite0)": {
            "name": "fid",
            "encoder": "lite0",
            "better": "lower",
            "of": "sets",
            "fingerprint": {"weights": "def"},
        },
    }
    write_json(folder / METRICS, {"of": "x", "metrics": columns})
    manifest = {
        "suite": "known",
        "seed": 0,
        "commit": "0123456789ab",
        "libraries": {"library torch": "2.0"},
        "machine": {"processor": "an abacus"},
        "methods": {
            m: {
                "conditioning_encoders": ["sface"] if m == "leaky" else [],
                "trained_on": ["faces-train"] if m == "close" else [],
            }
            for m in methods
        },
        "people": {
            who: {
                "origin": "faces-test",
                "noun": "man" if who in ("bob", "dan") else "woman",
                "attributes": {},
            }
            for who in PEOPLE
        },
        "fingerprints": {"f1 sface": FACE, "f2": {"weights": "xyz"}},
    }
    write_json(folder / "run.json", manifest)
    return folder


def cell(method: str, who: str, prompt: str) -> CellRow:
    about = (f"{method}/{who}/{prompt}/s1", method, who, prompt, "free", f"{{subject}} {prompt}", 1, 7)
    if (method, who, prompt) == ("tuned", "ada", "hat"):
        return CellRow(*about, "failed", reason="RuntimeError: out of paint")
    if (method, who, prompt) == ("close", "bob", "tie"):
        return CellRow(*about, "generated", flaw="black", seconds=0.5, memory_mb=950.0, run_fingerprint="r1")
    return CellRow(*about, "generated", seconds=0.5, memory_mb=950.0, run_fingerprint="r1")


def prior(method: str, who: str) -> CellRow:
    about = (f"{method}/{who}/prior/s1", method, who, "prior", "prior", "a photo of somebody", 1, 7)
    return CellRow(*about, "generated", seconds=9.0, memory_mb=950.0, run_fingerprint="r1")


def drifts() -> list[ScoreRow]:
    far = {"tuned": 0.4, "close": 0.3, "leaky": 0.0}
    return [
        ScoreRow(m, who, "prior", "prior", 1, "drift", "lite0", far[m] * (1 + i / 10), "", "f3")
        for m in far
        for i, who in enumerate(PEOPLE)
    ]


def faces() -> list[ScoreRow]:
    """One of close's pictures shows two people."""
    return [
        ScoreRow(*place, "free", 1, "multi-face", "eye", float(place == CROWD), "", "f4")
        for place in product(("tuned", "close", "leaky"), PEOPLE, PROMPTS)
    ]


def scores(encoder: str = "sface") -> list[ScoreRow]:
    rng = np.random.default_rng(0)
    shift = {(who, prompt): rng.normal(0, 0.05) for who in PEOPLE for prompt in PROMPTS}
    rows = []
    for label, mean in MEANS.items():
        for (who, prompt), away in shift.items():
            value, reason = mean + away + float(rng.normal(0, 0.02)), ""
            if (label, who) == ("tuned", "ada"):
                value, reason = (
                    None,
                    "no face found" if prompt != "hat" else "failed: RuntimeError: out of paint",
                )
            rows.append(
                ScoreRow(label, who, prompt, "free", 1, "identity", encoder, value, reason, f"f1 {encoder}")
            )
    return rows


def sets(methods: list[str]):
    for place, label in enumerate([*methods, REAL_SET]):
        yield SetRow(label, "fid", "lite0", "", 18, 40, 10.0 + place, "", "f3")
        for i, who in enumerate(PEOPLE if label != REAL_SET else ()):
            yield SetRow(label, "fid", "lite0", who, 15, 40, 10.0 + place + 0.1 * i, "", "f3")


@pytest.fixture
def finished_run(run: Path) -> FinishedRun:
    return read_run(run)


def test_the_report_as_a_whole(finished_run: FinishedRun, golden: Callable[[str, str], None]) -> None:
    golden("table.md", markdown(finished_run))


def test_the_csv_as_a_whole(finished_run: FinishedRun) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(finished_run))))
    tuned = next(line for line in lines if line["method"] == "tuned")
    assert (tuned["n"], tuned["of"]) == ("15", "18")
    assert tuned["reason"] == "1 x failed: RuntimeError: out of paint; 2 x no face found"
    assert float(tuned["low"]) < float(tuned["value"]) < float(tuned["high"])
    assert json.loads(as_json(finished_run))["scores"][2]["method"] == "tuned"


def test_a_missing_score_is_neither_a_zero_nor_gone(finished_run: FinishedRun) -> None:
    found = entry(finished_run, "tuned", picture_columns(finished_run)[0])
    assert (found.n, found.of) == (15, 18)
    assert found.estimate is not None
    assert found.estimate.mean == pytest.approx(0.5, abs=0.05)
    assert found.reasons == {"no face found": 2, "failed: RuntimeError: out of paint": 1}


def test_a_leaking_method_is_marked_and_not_ranked(finished_run: FinishedRun) -> None:
    column = picture_columns(finished_run)[0]
    assert entry(finished_run, "leaky", column).overlap == "conditioned"
    assert ranked(finished_run, column) == ["tuned", "close"]
    text = markdown(finished_run)
    assert "†" in next(line for line in text.splitlines() if line.startswith("| leaky"))
    assert "leaky is conditioned on sface" in text


def test_a_leaking_number_is_marked_in_every_table(finished_run: FinishedRun) -> None:
    sections = {text.splitlines()[0]: text for text in markdown(finished_run).split("\n## ")}
    for title in ("Scores", "Share of the way", "Against the floor and the ceiling", "Groups"):
        lines = [line for line in sections[title].splitlines() if "| leaky" in line]
        assert any("†" in line for line in lines), title
        assert "†" not in "".join(line for line in sections[title].splitlines() if "| tuned" in line), title


def test_close_methods_are_not_separable_and_far_ones_are(finished_run: FinishedRun) -> None:
    column = picture_columns(finished_run)[0]
    assert [c.separable for c in contrasts_between(finished_run, column)] == [False]
    above = {c.one: c for c in contrasts_with(finished_run, column, "text-only")}
    assert all(c.separable and c.difference.mean > 0 for c in above.values())
    below = {c.one: c for c in contrasts_with(finished_run, column, "photo-copy")}
    assert all(c.separable and c.difference.mean < 0 for c in below.values())


def test_a_share_is_0_at_the_floor_and_1_at_the_ceiling(finished_run: FinishedRun) -> None:
    column = picture_columns(finished_run)[0]
    assert share(finished_run, REAL_OTHER, column) == pytest.approx(0)
    assert share(finished_run, REAL_SAME, column) == pytest.approx(1)
    assert share(finished_run, "close", column) == pytest.approx((0.49 - 0.1) / 0.7, abs=0.05)


def test_a_share_of_no_way_is_no_number(finished_run: FinishedRun) -> None:
    column = picture_columns(finished_run)[0]
    flat = tuple(replace(row, value=0.5) for row in finished_run.scores)
    assert share(replace(finished_run, scores=flat), "close", column) is None


def test_a_sets_interval_holds_its_value(finished_run: FinishedRun) -> None:
    found = set_entry(finished_run, "tuned", set_columns(finished_run)[0])
    assert found is not None
    assert found.interval is not None
    assert found.interval[0] < 12.0 < found.interval[1]
    assert found.n == 18


def test_a_set_that_is_too_small_is_refused_with_the_reason_and_the_real_rows_stand_beside(
    finished_run: FinishedRun,
) -> None:
    reason = "9 generated and 40 real pictures, wanted at least 16 of each"
    rows = [
        replace(r, value=None, reason=reason, n=9) if r.method == "tuned" else r
        for r in finished_run.sets
        if not r.left_out
    ]
    text = sets_section(replace(finished_run, sets=tuple(rows)))
    assert next(line for line in text.splitlines() if line.startswith("| tuned")).count("refused") == 1
    assert f"refused 1 time: {reason}" in text
    assert "N = 18 pictures per row, held against 40 real photographs" in text
    assert any(line.startswith(f"| {REAL_SET}") and "15.0" in line for line in text.splitlines())


def test_every_column_has_its_shares_or_the_reason_why_not(finished_run: FinishedRun) -> None:
    text = shares(finished_run)
    for column in finished_run.columns:
        assert column.title in text or column.of == "priors"
    assert "there is no floor" in text


def test_black_pictures_and_failed_cells_are_counted(finished_run: FinishedRun) -> None:
    text = failures(finished_run)
    assert "tuned, 1 cell: failed: RuntimeError: out of paint" in text
    assert "| close      | 24       | 0       | 0             | 0   | 1 " in text


def test_scores_measured_in_two_ways_never_share_a_column(run: Path, finished_run: FinishedRun) -> None:
    mixed = [
        replace(row, fingerprint="f2") if (row.method, row.encoder) == ("tuned", "sface") else row
        for row in finished_run.scores
    ]
    write_rows(run / SCORES, mixed, ScoreRow)
    with pytest.raises(ReportError, match="weights: abc / xyz") as refused:
        read_run(run)
    assert "identity (sface): text-only and tuned" in str(refused.value)


def test_sets_measured_in_two_ways_never_share_a_column(run: Path, finished_run: FinishedRun) -> None:
    mixed = [
        replace(row, fingerprint="f1 sface") if row.method == "tuned" else row for row in finished_run.sets
    ]
    write_rows(run / SETS, mixed, SetRow)
    with pytest.raises(ReportError, match=r"fid \(lite0\): text-only and tuned must not share a column"):
        read_run(run)


def test_what_is_unknown_of_two_fingerprints_is_not_made_up(run: Path, finished_run: FinishedRun) -> None:
    mixed = [
        replace(row, fingerprint="lost") if row.method == "tuned" else row for row in finished_run.scores
    ]
    write_rows(run / SCORES, mixed, ScoreRow)
    with pytest.raises(ReportError, match="their fingerprints: f1 sface / lost"):
        read_run(run)


def test_pictures_of_somebody_else_cost_nothing_and_prompt_nothing(finished_run: FinishedRun) -> None:
    assert costs_of(finished_run, "tuned").seconds_per_image == pytest.approx(0.5)
    assert "3 prompts; 113 of 114 images, 24 of them of somebody else" in markdown(finished_run)


def test_a_run_of_an_older_version_can_still_be_read(run: Path) -> None:
    manifest = read_json(run / "run.json")
    del manifest["people"]
    manifest["methods"] = {
        m: {"conditioning_encoders": about["conditioning_encoders"]}
        for m, about in manifest["methods"].items()
    }
    write_json(run / "run.json", manifest)
    text = markdown(read_run(run))
    assert "## Groups" not in text
    assert "leaky is conditioned on sface" in text


def test_pictures_made_by_two_backbones_never_share_a_table(run: Path, finished_run: FinishedRun) -> None:
    mixed = [
        replace(c, run_fingerprint="r2") if c.method == "tuned" and c.run_fingerprint else c
        for c in finished_run.cells
    ]
    write_rows(run / CELLS, mixed, CellRow)
    with pytest.raises(ReportError, match="pictures: text-only and tuned must not share a column"):
        read_run(run)


def test_an_unfinished_run_is_refused(run: Path) -> None:
    (run / METRICS).unlink()
    with pytest.raises(ReportError, match="not a finished run"):
        read_run(run)
    with pytest.raises(ReportError, match="no finished run"):
        latest_run(run.parent)


def test_a_table_with_foreign_columns_is_refused(run: Path) -> None:
    (run / FITS).write_text("a,b\n1,2\n")
    with pytest.raises(ReportError, match=r"fits\.csv: columns \['a', 'b'\]"):
        read_run(run)


def test_packed_tables_are_read_as_the_others(run: Path) -> None:
    whole = markdown(read_run(run))
    for name in (CELLS, FITS, SCORES, SETS):
        (run / f"{name}.gz").write_bytes(gzip.compress((run / name).read_bytes()))
        (run / name).unlink()
    assert markdown(read_run(run)) == whole
    (run / f"{FITS}.gz").write_bytes((run / f"{FITS}.gz").read_bytes()[:-20])
    with pytest.raises(ReportError, match=r"fits\.csv: cannot be read \(Compressed file ended"):
        read_run(run)


def test_the_inception_scores_bound_stands_below_it(run: Path) -> None:
    about = read_json(run / METRICS)
    column = {"name": "is", "encoder": "lite0", "better": "higher", "of": "sets"}
    about["metrics"]["is (lite0)"] = {**column, "fingerprint": {"splits": "2, seed 0"}}
    write_json(run / METRICS, about)
    text = markdown(read_run(run))
    assert "is (lite0) can be at most N / splits = " in text
