"""Log a finished run to TensorBoard, Weights & Biases or trackio, by their own clients.

Each row of the comparison table becomes one run of the tracker, so that its own tables compare the methods:
its numbers with their intervals, the method's settings, and some images.
"""

import io
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from PIL import Image

from bench.analysis.comparison_table import ComparisonTable
from bench.errors import ReportError
from bench.report.formats.export import score_records
from bench.runs.finished_run import FinishedRun
from bench.runs.records.run_manifest import MethodRecord
from bench.runs.run_folder import RunFolder, safe

SETTING: Final = "setting "
"""First word of a method's settings among the parts of its fingerprint."""


@dataclass(frozen=True)
class LoggedImage:
    """One image of a row."""

    name: str
    """`images/ada/red-hat/s1`."""
    path: Path
    caption: str


@dataclass(frozen=True)
class LoggedRow:
    """One run of the tracker."""

    name: str
    config: Mapping[str, str | int]
    numbers: Mapping[str, float]
    """`identity@sface/mean`, `/low` and `/high`."""
    images: Sequence[LoggedImage]


def logged_rows(table: ComparisonTable, images: int) -> list[LoggedRow]:
    """The rows of the table, each with its first images. Raises ReportError for a missing image file."""
    numbers: dict[str, dict[str, float]] = {}
    for record in score_records(table):
        name = f"{record['metric']}@{record['encoder']}" if record["encoder"] else record["metric"]
        for key, part in (("value", "mean"), ("low", "low"), ("high", "high")):
            if record[key] is not None:
                numbers.setdefault(record["method"], {})[f"{name}/{part}"] = record[key]
    return [
        LoggedRow(label, _config(table.run, label), own, _images(table.run, label, images))
        for label, own in numbers.items()
    ]


def _config(run: FinishedRun, label: str) -> dict[str, str | int]:
    manifest = run.manifest
    parts = manifest.methods.get(label, MethodRecord()).fingerprint_parts
    settings = {k.removeprefix(SETTING): v for k, v in parts.items() if k.startswith(SETTING)}
    return {**settings, "suite": manifest.suite, "run seed": manifest.seed, "commit": manifest.commit}


def _images(run: FinishedRun, label: str, count: int) -> list[LoggedImage]:
    folder = RunFolder(run.path)
    cells = [cell for cell in run.cells if cell.method == label and cell.has_content][:count]
    for cell in cells:
        if not folder.image_of(cell).exists():
            raise ReportError(f"{folder.image_of(cell)}: no such image; log without images: --images 0")
    return [
        LoggedImage(f"images/{c.identity}/{c.prompt}/s{c.sample}", folder.image_of(c), c.template)
        for c in cells
    ]


def log_to_tensorboard(rows: Sequence[LoggedRow], project: str, folder: Path) -> None:
    """Write event files to `<folder>/<project>/<row>/`."""
    events = _client("tensorboard", "tensorboard.compat.proto.event_pb2")
    summaries = import_module("tensorboard.compat.proto.summary_pb2")
    files = import_module("tensorboard.summary.writer.event_file_writer")
    for row in rows:
        values = [summaries.Summary.Value(tag=tag, simple_value=n) for tag, n in row.numbers.items()]
        for image in row.images:
            encoded, width, height = _png(image.path)
            content = summaries.Summary.Image(
                width=width, height=height, colorspace=3, encoded_image_string=encoded
            )
            values.append(summaries.Summary.Value(tag=image.name, image=content))
        writer = files.EventFileWriter(str(folder / project / safe(row.name)))
        summary = summaries.Summary(value=values)
        writer.add_event(events.Event(step=0, wall_time=time.time(), summary=summary))
        writer.close()


def log_to_wandb(rows: Sequence[LoggedRow], project: str, folder: Path) -> None:
    """Log as Weights & Biases is configured, such as with WANDB_MODE=offline; its files go to `folder`."""
    wandb = _client("wandb", "wandb")
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        try:
            run = wandb.init(project=project, name=row.name, config=dict(row.config), dir=str(folder))
        except wandb.errors.Error as error:
            raise ReportError(
                f"Weights & Biases: {error}; run `wandb login`, or set WANDB_MODE=offline"
            ) from error
        images = {i.name: wandb.Image(str(i.path), caption=i.caption) for i in row.images}
        run.log({**row.numbers, **images})
        run.finish()


def log_to_trackio(rows: Sequence[LoggedRow], project: str, folder: Path) -> None:
    """Write trackio's local database to `folder`."""
    os.environ.setdefault("TRACKIO_DIR", str(folder.resolve()))
    trackio = _client("trackio", "trackio")
    for row in rows:
        trackio.init(project=project, name=row.name, config=dict(row.config))
        images = {i.name: trackio.Image(str(i.path), caption=i.caption) for i in row.images}
        trackio.log({**row.numbers, **images})
        trackio.finish()


TRACKERS: Final[Mapping[str, Callable[[Sequence[LoggedRow], str, Path], None]]] = {
    "tensorboard": log_to_tensorboard,
    "wandb": log_to_wandb,
    "trackio": log_to_trackio,
}


def log_table(table: ComparisonTable, tracker: str, project: str, folder: Path, images: int) -> int:
    """Log every row; returns their number. Raises ReportError without the tracker's client."""
    rows = logged_rows(table, images)
    # The clients print their progress to stdout.
    with redirect_stdout(sys.stderr):
        TRACKERS[tracker](rows, project, folder)
    return len(rows)


def _client(package: str, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ReportError(f"{package} is not installed; pip install 'personabench[{package}]'") from error


def _png(path: Path) -> tuple[bytes, int, int]:
    """The image without the fingerprint in its metadata, its width and its height."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "PNG")
        return buffer.getvalue(), *image.size
