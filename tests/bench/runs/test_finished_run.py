"""Run folders are read as they were written; columns that mix fingerprints are refused."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import write_run
from known_run import known_run

from bench.atomic_io import read_json, write_json
from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun, latest_run, read_run
from bench.runs.records.tables import (
    CELLS,
    FITS,
    METRICS,
    SCORES,
    SETS,
    CellRow,
    ScoreRow,
    SetRow,
    write_rows,
)


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    return replace(known_run(), path=tmp_path / "results" / "known")


@pytest.fixture
def folder(run: FinishedRun) -> Path:
    return write_run(run.path, run)


def test_run_is_read_as_it_was_written(run: FinishedRun, folder: Path) -> None:
    assert read_run(folder) == run


def test_scores_of_different_metric_fingerprints_are_refused(run: FinishedRun, folder: Path) -> None:
    mixed = [
        replace(row, fingerprint="f2") if (row.method, row.encoder) == ("tuned", "sface") else row
        for row in run.scores
    ]
    write_rows(folder / SCORES, mixed, ScoreRow)
    with pytest.raises(ReportError, match="weights: abc / xyz") as error:
        read_run(folder)
    assert "identity (sface): text-only and tuned" in str(error.value)


def test_set_scores_of_different_metric_fingerprints_are_refused(run: FinishedRun, folder: Path) -> None:
    mixed = [replace(row, fingerprint="f1 sface") if row.method == "tuned" else row for row in run.sets]
    write_rows(folder / SETS, mixed, SetRow)
    with pytest.raises(ReportError, match=r"fid \(lite0\): text-only and tuned must not share a column"):
        read_run(folder)


def test_unknown_fingerprints_are_named_by_their_digests(run: FinishedRun, folder: Path) -> None:
    mixed = [replace(row, fingerprint="lost") if row.method == "tuned" else row for row in run.scores]
    write_rows(folder / SCORES, mixed, ScoreRow)
    with pytest.raises(ReportError, match="their fingerprints: f1 sface / lost"):
        read_run(folder)


def test_images_of_different_backbones_are_refused(run: FinishedRun, folder: Path) -> None:
    mixed = [
        replace(cell, run_fingerprint="r2") if cell.method == "tuned" and cell.run_fingerprint else cell
        for cell in run.cells
    ]
    write_rows(folder / CELLS, mixed, CellRow)
    with pytest.raises(ReportError, match="images: text-only and tuned must not share a column"):
        read_run(folder)


def test_manifest_without_people_training_data_and_roles_is_read(folder: Path) -> None:
    manifest = read_json(folder / "run.json")
    del manifest["people"]
    manifest["methods"] = {
        label: {"conditioning_encoders": about["conditioning_encoders"]}
        for label, about in manifest["methods"].items()
    }
    write_json(folder / "run.json", manifest)
    found = read_run(folder)
    assert found.people == {}
    assert found.trained_on("close") == ()
    assert (found.floor, found.ceiling) == ("text-only", "photo-copy")
    assert [label for label in found.methods if found.is_baseline(label)] == ["text-only", "photo-copy"]


def test_unfinished_run_is_refused(folder: Path) -> None:
    (folder / METRICS).unlink()
    with pytest.raises(ReportError, match="not a finished run"):
        read_run(folder)
    with pytest.raises(ReportError, match="no finished run"):
        latest_run(folder.parent)


def test_table_with_other_columns_is_refused(folder: Path) -> None:
    (folder / FITS).write_text("a,b\n1,2\n")
    with pytest.raises(ReportError, match=r"fits\.csv: columns \['a', 'b'\]"):
        read_run(folder)


def test_compressed_tables_are_read_like_plain_ones(run: FinishedRun, folder: Path) -> None:
    for name in (CELLS, FITS, SCORES, SETS):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    assert read_run(folder) == run
    (folder / f"{FITS}.gz").write_bytes((folder / f"{FITS}.gz").read_bytes()[:-20])
    with pytest.raises(ReportError, match=r"fits\.csv: cannot be read \(Compressed file ended"):
        read_run(folder)
