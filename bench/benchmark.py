"""What the commands do: a run from options to the table on stdout, and a report from a run folder."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.errors import ExitStatus, SuiteError
from bench.progress import Display, measuring
from bench.report.export import as_csv, as_json
from bench.report.image_grid import write_grid
from bench.report.markdown_report import markdown, summary
from bench.report.plots import write_plot
from bench.runner.cell_records import write_ledger
from bench.runner.executors import executor
from bench.runner.manifest import earlier_methods, write_account
from bench.runner.session import (
    RESULTS,
    Device,
    Options,
    Prepared,
    Studio,
    default_folder,
    method_labels,
    open_studio,
    prepare,
    refuse_stale,
)
from bench.runs.atomic_io import write_text
from bench.runs.events import Failed
from bench.runs.finished_run import latest_run, read_study
from bench.runs.run_folder import RunFolder, locked
from bench.scoring.score import Exam, Metrics, score
from bench.suite.suite import open_suite
from bench.torchvision_compat import ensure_torchvision_imports


@dataclass(frozen=True)
class Request:
    """The options of `bench run` as they were given."""

    suite: str
    methods: str
    out: Path | None
    only: str | None
    dry_run: bool
    device: Device
    seed: int | None
    again: bool
    executor: str


@dataclass(frozen=True)
class Outcome:
    """How a command ends, and what it prints."""

    status: ExitStatus
    text: str


def run_benchmark(request: Request) -> Outcome:
    """`bench run`."""
    started = time.monotonic()
    file = open_suite(request.suite)
    seed = file.suite.seed if request.seed is None else request.seed
    asked = [name.strip() for name in request.methods.split(",") if name.strip()]
    if not asked:
        raise SuiteError("--methods names no method; give names joined by commas, or all")
    options = Options(
        file, method_labels(asked, file.suite), seed, request.device, request.only, request.again
    )
    folder = RunFolder(request.out or default_folder(file, seed))
    if request.dry_run:
        return Outcome(ExitStatus.DONE, plan_text(prepare(options, ()), folder))
    run_groups = executor(request.executor)
    ensure_torchvision_imports()
    with locked(folder.path):
        console = Console(stderr=True)
        prepared = prepare(options, earlier_methods(folder))
        metrics = _metrics(prepared)
        studio = open_studio(prepared, folder, lambda line: console.print(line, style="yellow", markup=False))
        refuse_stale(studio, folder)
        write_account(
            studio, [metric.fingerprint for metric in metrics.all], folder, time.monotonic() - started
        )
        failed = 0
        with Display(console, len(prepared.plan.wanted)) as display:
            for event in run_groups(
                [w for w in studio.works if w.group.method in options.methods], studio.backbone, folder
            ):
                display.show(event)
                failed += isinstance(event, Failed)
        _measure(studio, metrics, folder, console, started)
    console.print(
        f"the whole report is {folder.path / 'report.md'}", markup=False, highlight=False, soft_wrap=True
    )
    return Outcome(ExitStatus.SOME_FAILED if failed else ExitStatus.DONE, summary(read_study(folder.path)))


def _metrics(prepared: Prepared) -> Metrics:
    from metrics.catalog import make

    return Metrics(*make(prepared.suite.metrics, encoders=prepared.suite.encoders))


def _measure(studio: Studio, metrics: Metrics, folder: RunFolder, console: Console, started: float) -> None:
    """Scores, account, report and grid of what is there now."""
    options = studio.prepared.options
    cells = write_ledger(studio, folder)
    with measuring(console) as notify:
        exam = Exam(studio.works, cells, studio.prepared.people, metrics, options.seed)
        score(exam, folder, notify, again=options.again)
    write_account(studio, [metric.fingerprint for metric in metrics.all], folder, time.monotonic() - started)
    write_text(folder.path / "report.md", markdown(read_study(folder.path)))
    write_grid(studio.works, folder)


def plan_text(prepared: Prepared, folder: RunFolder) -> str:
    """`bench run --dry-run`: every chosen cell, and how many have a picture already."""
    chosen = prepared.plan.chosen
    there = sum(folder.image(cell).exists() for cell in chosen)
    total = (
        f"{len(chosen)} of {len(prepared.plan.cells)} cells into {folder.path}; "
        f"{there} have a picture, which is kept if it was made in the same way"
    )
    return "\n".join([*(cell.id for cell in chosen), total])


def render_report(run: Path | None, form: str) -> str:
    """`bench report`."""
    study = read_study(run or latest_run(RESULTS))
    return {"markdown": markdown, "csv": as_csv, "json": as_json}[form](study)


def plot_run(run: Path | None, x: str, y: str, output: Path) -> None:
    """`bench plot`."""
    write_plot(read_study(run or latest_run(RESULTS)), x, y, output)
