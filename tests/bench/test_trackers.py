"""Runs in TensorBoard, Weights & Biases and trackio, read back where their clients are installed."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.comparison_table import compare
from bench.cli.commands.log import Tracker
from bench.errors import ReportError
from bench.report.formats.export import score_records
from bench.runs.finished_run import read_run
from bench.trackers import TRACKERS, log_table, logged_rows

FAKE = "fake_method:FakeMethod"


def test_rows_have_the_numbers_of_the_report(run_folder: Path) -> None:
    table = compare(read_run(run_folder))
    rows = {row.name: row for row in logged_rows(table, 2)}
    records = [r for r in score_records(table) if r["value"] is not None]
    assert set(rows) == {record["method"] for record in records}
    for record in records:
        name = f"{record['metric']}@{record['encoder']}" if record["encoder"] else record["metric"]
        assert rows[record["method"]].numbers[f"{name}/mean"] == record["value"]
    images = rows[FAKE].images
    assert [image.name for image in images] == [f"images/ada/blue-background/s{i}" for i in (1, 2)]
    assert all(image.path.exists() for image in images)
    assert rows[FAKE].config["suite"] == "fake"
    assert rows[FAKE].config["needs"] == "1"


def test_missing_images_and_clients_are_refused(run_folder: Path, tmp_path: Path, hidden: Any) -> None:
    table = compare(read_run(run_folder))
    for tracker in TRACKERS:
        hidden(tracker)
        with pytest.raises(ReportError, match=rf"pip install 'personabench\[{tracker}\]'"):
            log_table(table, tracker, "p", tmp_path / "logs", 1)
    next(run_folder.glob("images/*/ada/blue-background.s1.png")).unlink()
    with pytest.raises(ReportError, match="--images 0"):
        logged_rows(table, 1)
    assert logged_rows(table, 0)[0].images == []


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a package impossible to import."""
    import sys

    def hide(package: str) -> None:
        for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hide


def test_command_offers_every_tracker() -> None:
    assert [tracker.value for tracker in Tracker] == list(TRACKERS)


def test_tensorboard_reads_numbers_and_images(
    bench: Callable[..., int], run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard"
    )
    assert bench("log", run_folder, "--to", "tensorboard", "--images", 1) == 0
    assert capsys.readouterr().out == "4 rows logged to tensorboard\n"
    found = events.EventAccumulator(f"logs/run/{FAKE.replace(':', '+')}")
    found.Reload()
    (row,) = [row for row in logged_rows(compare(read_run(run_folder)), 1) if row.name == FAKE]
    logged = {tag: found.Scalars(tag)[0].value for tag in found.Tags()["scalars"]}
    assert logged == pytest.approx(dict(row.numbers))
    (image,) = found.Images("images/ada/blue-background/s1")
    assert (image.width, image.height) == (32, 32)
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert b"personabench" not in image.encoded_image_string


def test_wandb_writes_its_offline_files(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="no wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log_table(compare(read_run(run_folder)), "wandb", "p", tmp_path / "logs", 1)
    files = list((tmp_path / "logs" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 4
    assert any(b"identity@fake-eye/mean" in path.read_bytes() for path in files)
    assert len(list((tmp_path / "logs").rglob("media/images/**/*.png"))) == 1


def test_trackio_stores_numbers(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "logs"))
    pytest.importorskip("trackio", reason="no trackio")
    log_table(compare(read_run(run_folder)), "trackio", "p", tmp_path / "logs", 1)
    with sqlite3.connect(tmp_path / "logs" / "p.db") as database:
        rows = dict(database.execute("SELECT run_name, metrics FROM metrics").fetchall())
    assert FAKE in rows
    assert "identity@fake-eye/mean" in str(rows[FAKE])
