"""Run folders are read as they were written; columns that mix fingerprints are refused."""

import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import write_run
from known_run import known_run

from bench.atomic_io import read_json, write_json
from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun, latest_run, read_run
from bench.runs.records.table_digests import OF_METRICS, OF_RUN, table_digests
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


def vouched(folder: Path, **changes: object) -> None:
    """Record the tables' digests in run.json, as a finished run does."""
    metrics = read_json(folder / METRICS)
    write_json(folder / METRICS, {**metrics, "tables": table_digests(folder, OF_METRICS)})
    tables = {"tables": table_digests(folder, OF_RUN), **changes}
    write_json(folder / "run.json", {**read_json(folder / "run.json"), **tables})


def test_run_that_has_not_ended_is_refused(folder: Path) -> None:
    vouched(folder)
    assert read_run(folder).manifest.tables
    vouched(folder, tables={})
    with pytest.raises(ReportError, match="has not ended; finish it with `bench run`"):
        read_run(folder)


@pytest.mark.parametrize("name", [CELLS, FITS, SCORES, SETS, METRICS])
def test_table_of_another_run_is_refused(name: str, folder: Path) -> None:
    vouched(folder)
    content = (folder / name).read_text()
    # A whole and valid table: one line less, or one more blank.
    shorter = "\n".join(content.splitlines()[:-1]) + "\n"
    (folder / name).write_text(shorter if name != METRICS else content + "\n")
    with pytest.raises(ReportError, match=f"{name} has been changed or belongs to another run"):
        read_run(folder)
    (folder / name).unlink()
    with pytest.raises(ReportError, match=f"{name}"):
        read_run(folder)


def test_compressed_tables_keep_their_digests(run: FinishedRun, folder: Path) -> None:
    vouched(folder)
    for name in (CELLS, FITS, SCORES, SETS):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    assert read_run(folder).scores == run.scores


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "not a JSON object; the file is damaged, remove it"),
        ("run.json", '{"seed": "x"}', "seed = 'x'; expected an integer; the file is damaged"),
        ("run.json", '{"machine": []}', r"machine = \[\]; expected a table"),
        ("run.json", '{"people": {"ada": 3}}', "people: ada: 3 is not a table"),
        ("run.json", '{"seconds": NaN}', "seconds = nan; expected a finite number"),
        (METRICS, "[", "the key 'metrics' is missing; the file is damaged"),
        (METRICS, '{"metrics": {"x": 5}}', "metrics: x: 5 is not a table"),
        (METRICS, '{"metrics": {"x": {"name": "x"}}}', "metrics: x: the key 'encoder' is missing"),
        (METRICS, '{"metrics": {}, "calibration": {"x": 1}}', "calibration: x = 1; expected a table"),
    ],
)
def test_damaged_record_is_refused_in_one_line(name: str, content: str, message: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(ReportError, match=message) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-2], "ends in the middle of a line"),
        (lambda text: text.replace("\n", ",more\n").replace(",more", "", 1), "line 2: zip"),
        (lambda text: text + "x\n", "the table is damaged"),
        (lambda text: text + text.splitlines()[3] + "\n", "two lines about"),
        (lambda text: text.replace(",0.", ',"0,', 1).replace(",,", '",,', 1), "the table is damaged|columns"),
        (lambda text: re.sub(r",0\.\d+,", ",nan,", text, count=1), "nan; expected a finite number"),
        (lambda text: re.sub(r",0\.\d+,", ",inf,", text, count=1), "inf; expected a finite number"),
        (lambda text: "\ufeff" + text, "columns"),
        (lambda text: text.replace(",", ";"), "columns"),
        (lambda text: text.encode("utf-16"), "cannot be read"),
        (lambda text: "", "columns"),
        (lambda text: text + f'"{"x" * 200_000}"\n', "cannot be read"),
    ],
    ids=[
        *("cut", "long lines", "short line", "doubled line", "decimal comma", "nan", "infinite"),
        *("byte order mark", "semicolons", "utf-16", "empty", "huge field"),
    ],
)
def test_damaged_table_is_refused_in_one_line(
    change: Callable[[str], str | bytes], message: str, folder: Path
) -> None:
    content = change((folder / SCORES).read_text())
    (folder / SCORES).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ReportError, match=message) as error:
        read_run(folder)
    assert "\n" not in str(error.value)
    assert SCORES in str(error.value)


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
