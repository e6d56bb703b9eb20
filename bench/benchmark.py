"""What the commands do: a run from options to the table on stdout, and a report from a run folder."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.atomic_io import write_text
from bench.errors import ExitStatus, SuiteError
from bench.progress import Display, measuring
from bench.report.export import as_csv, as_json
from bench.report.image_grid import write_grid
from bench.report.markdown_report import markdown, summary
from bench.report.plots import write_plot
from bench.runner.cell_records import write_cell_tables
from bench.runner.executors import executor
from bench.runner.manifest import write_manifest
from bench.runner.session import (
    RESULTS,
    Device,
    PlannedRun,
    RunOptions,
    RunSession,
    default_folder,
    method_labels,
    open_session,
    plan_run,
    refuse_stale,
)
from bench.runs.events import Failed
from bench.runs.finished_run import latest_run, read_run
from bench.runs.run_folder import RunFolder, locked
from bench.runs.run_manifest import read_run_manifest
from bench.scoring.score import Metrics, ScoringInputs, score
from bench.suite.suite import open_suite
from bench.torchvision_compat import ensure_torchvision_imports


@dataclass(frozen=True)
class RunArguments:
    """The options of `bench run` as they were given."""

    suite: str
    methods: str
    out: Path | None
    only: str | None
    dry_run: bool
    device: Device
    seed: int | None
    overwrite: bool
    executor: str


@dataclass(frozen=True)
class CommandResult:
    """How a command ends, and what it prints."""

    status: ExitStatus
    text: str


def run_benchmark(arguments: RunArguments) -> CommandResult:
    """`bench run`."""
    started = time.monotonic()
    file = open_suite(arguments.suite)
    seed = file.suite.seed if arguments.seed is None else arguments.seed
    asked = [name.strip() for name in arguments.methods.split(",") if name.strip()]
    if not asked:
        raise SuiteError("--methods names no method; give names joined by commas, or all")
    options = RunOptions(
        file, method_labels(asked, file.suite), seed, arguments.device, arguments.only, arguments.overwrite
    )
    folder = RunFolder(arguments.out or default_folder(file, seed))
    if arguments.dry_run:
        return CommandResult(ExitStatus.DONE, plan_text(plan_run(options, ()), folder))
    run_groups = executor(arguments.executor)
    ensure_torchvision_imports()
    with locked(folder.path):
        console = Console(stderr=True)
        planned = plan_run(options, tuple(read_run_manifest(folder.path).methods))
        metrics = _metrics(planned)
        session = open_session(
            planned, folder, lambda line: console.print(line, style="yellow", markup=False)
        )
        refuse_stale(session, folder)
        write_manifest(
            session, [metric.fingerprint for metric in metrics.all], folder, time.monotonic() - started
        )
        failed = 0
        with Display(console, len(planned.plan.wanted)) as display:
            for event in run_groups(
                [w for w in session.tasks if w.group.method in options.methods], session.backbone, folder
            ):
                display.show(event)
                failed += isinstance(event, Failed)
        _measure(session, metrics, folder, console, started)
    console.print(
        f"the whole report is {folder.path / 'report.md'}", markup=False, highlight=False, soft_wrap=True
    )
    return CommandResult(
        ExitStatus.SOME_FAILED if failed else ExitStatus.DONE, summary(read_run(folder.path))
    )


def _metrics(planned: PlannedRun) -> Metrics:
    from metrics.catalog import make

    return Metrics(*make(planned.suite.metrics, encoders=planned.suite.encoders))


def _measure(
    session: RunSession, metrics: Metrics, folder: RunFolder, console: Console, started: float
) -> None:
    """Scores, account, report and grid of what is there now."""
    options = session.planned.options
    cells = write_cell_tables(session, folder)
    with measuring(console) as notify:
        inputs = ScoringInputs(session.tasks, cells, session.planned.people, metrics, options.seed)
        score(inputs, folder, notify, overwrite=options.overwrite)
    write_manifest(
        session, [metric.fingerprint for metric in metrics.all], folder, time.monotonic() - started
    )
    write_text(folder.path / "report.md", markdown(read_run(folder.path)))
    write_grid(session.tasks, folder)


def plan_text(planned: PlannedRun, folder: RunFolder) -> str:
    """`bench run --dry-run`: every chosen cell, and how many have a picture already."""
    chosen = planned.plan.chosen
    there = sum(folder.image(cell).exists() for cell in chosen)
    total = (
        f"{len(chosen)} of {len(planned.plan.cells)} cells into {folder.path}; "
        f"{there} have a picture, which is kept if it was made in the same way"
    )
    return "\n".join([*(cell.id for cell in chosen), total])


def render_report(run: Path | None, form: str) -> str:
    """`bench report`."""
    finished = read_run(run or latest_run(RESULTS))
    return {"markdown": markdown, "csv": as_csv, "json": as_json}[form](finished)


def plot_run(run: Path | None, x: str, y: str, output: Path) -> None:
    """`bench plot`."""
    write_plot(read_run(run or latest_run(RESULTS)), x, y, output)
