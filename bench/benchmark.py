"""The commands `bench run` and `bench score`, without parsing and printing."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from bench.datasets.registry import open_people
from bench.errors import ExitStatus, StoreError, SuiteError
from bench.markdown import printable
from bench.progress import Display, Work
from bench.report.run_files import PAGE, REPORT, write_report_files
from bench.report.summary import summary
from bench.runner.backbone_source import Device
from bench.runner.cell_records import write_cell_tables
from bench.runner.dry_run import plan_text
from bench.runner.estimate import estimate
from bench.runner.execution.executors import executor
from bench.runner.manifest import write_manifest
from bench.runner.session import (
    RESULTS,
    RunOptions,
    RunSession,
    default_folder,
    open_session,
    plan_run,
)
from bench.runs.fingerprint import digest_of
from bench.runs.records.run_manifest import MANIFEST, RunManifest, read_run_manifest, write_run_manifest
from bench.runs.records.table_digests import OF_RUN, check_tables, table_digests
from bench.runs.records.tables import CELLS, METRICS, CellRow, read_rows
from bench.runs.row_methods import method_labels
from bench.runs.run_folder import SUITE_COPY, RunFolder, latest_folder, locked
from bench.runs.shared_fits import fits_of
from bench.scoring.inputs import ScoringInputs
from bench.scoring.ray_features import compute_features
from bench.scoring.score import added_metrics, score
from bench.scoring.suite_metrics import build_metrics, with_metrics
from bench.suite.suite import Seed, SuiteFile, open_suite
from bench.suite.toml_schema import check_bounds
from bench.torchvision_compat import ensure_torchvision_imports


@dataclass(frozen=True)
class RunArguments:
    """The options of `bench run`."""

    suite: str
    methods: str
    out: Path | None
    only: str | None
    dry_run: bool
    cells: bool
    """Whether a dry run prints the id of every cell."""
    device: Device
    seed: int | None
    overwrite: bool
    executor: str
    workers: int | None
    """Number of worker processes; None for the default."""
    cache: Path | None = None
    """Folder of the features that scoring keeps; None for none."""


@dataclass(frozen=True)
class CommandResult:
    """The exit status of a command and the text that it prints."""

    status: ExitStatus
    text: str


def run_benchmark(arguments: RunArguments) -> CommandResult:
    """`bench run`: plan, generate, score, report."""
    started = time.monotonic()
    options = _options(arguments)
    folder = RunFolder(arguments.out or default_folder(options.file, options.seed))
    if arguments.dry_run:
        return CommandResult(ExitStatus.DONE, plan_text(plan_run(options, ()), folder, cells=arguments.cells))
    run_groups = executor(arguments.executor, arguments.workers)
    ensure_torchvision_imports()
    console = Console(stderr=True)
    with locked(folder.path):
        planned = plan_run(options, tuple(read_run_manifest(folder.path).methods))
        added = added_metrics(folder)
        suite = with_metrics(planned.suite, added)
        metrics = build_metrics(suite)
        session = open_session(planned, folder, partial(_warn, console))
        # Also written before the first image, so that a killed run has recorded its methods.
        write_manifest(session, metrics.fingerprints, folder, time.monotonic() - started, ended=False)
        tasks = [task for task in session.tasks if task.group.method in options.methods]
        with Display(console, _work(session, folder)) as display:
            for event in run_groups(tasks, session.backbone, folder, session.workers):
                display.show(event)
            cells = write_cell_tables(session, folder)
            inputs = ScoringInputs(
                folder, suite, planned.people, cells, metrics, options.seed, session.floor, added
            )
            begun = time.monotonic()
            _score(inputs, display, console, arguments)
        ended = time.monotonic()
        write_manifest(
            session,
            metrics.fingerprints,
            folder,
            ended - started,
            ended=True,
            scoring_seconds_per_image=_per_new_image(ended - begun, session),
        )
        text = _write_report(inputs)
    _print_report_path(folder, console)
    generated = {cell.cell for cell in cells if cell.status == "generated"}
    complete = planned.plan.selected_ids <= generated
    return CommandResult(ExitStatus.DONE if complete else ExitStatus.SOME_FAILED, text)


@dataclass(frozen=True)
class ScoreArguments:
    """The options of `bench score`."""

    run: Path | None
    suite: str | None
    metrics: str
    """Names of metrics to add, joined by commas."""
    overwrite: bool
    cache: Path | None
    executor: str = "local"


def score_run(arguments: ScoreArguments) -> CommandResult:
    """`bench score`: score the images of a run folder; no backbone and no method is loaded."""
    executor(arguments.executor, None)  # refuses an unknown name
    folder = RunFolder(arguments.run or latest_folder(RESULTS))
    if not (folder.path / MANIFEST).exists():
        raise StoreError(
            f"{folder.path}: not a run folder ({MANIFEST} is missing); make one with `bench run`"
        )
    console = Console(stderr=True)
    ensure_torchvision_imports()
    with locked(folder.path):
        manifest = read_run_manifest(folder.path)
        check_tables(folder.path, manifest.tables, omit=METRICS)
        file = open_suite(arguments.suite) if arguments.suite else _suite_of(folder, manifest)
        # A suite names all metrics; without one, those that were added before remain.
        added = [*([] if arguments.suite else added_metrics(folder)), *_names(arguments.metrics)]
        suite = with_metrics(file.suite, added)
        people = open_people(suite.dataset, file.base)
        cells = read_rows(folder.path / CELLS, CellRow)
        metrics = build_metrics(suite)
        inputs = ScoringInputs(
            folder, suite, people, cells, metrics, manifest.seed, manifest.floor, list(dict.fromkeys(added))
        )
        with Display(console, Work()) as display:
            _score(inputs, display, console, arguments)
        known = {digest_of(parts): dict(parts) for parts in metrics.fingerprints}
        fingerprints = {**manifest.fingerprints, **known}
        tables = table_digests(folder.path, OF_RUN)
        write_run_manifest(folder.path, replace(manifest, fingerprints=fingerprints, tables=tables))
        text = _write_report(inputs)
    _print_report_path(folder, console)
    return CommandResult(ExitStatus.DONE, text)


def _options(arguments: RunArguments) -> RunOptions:
    file = open_suite(arguments.suite)
    seed = file.suite.seed if arguments.seed is None else arguments.seed
    check_bounds(seed, Seed, "--seed")
    names = _names(arguments.methods)
    if not names:
        raise SuiteError("--methods names no method; give names joined by commas, or all")
    methods = method_labels(names, file.suite)
    return RunOptions(
        file,
        methods,
        seed,
        arguments.device,
        arguments.only,
        arguments.overwrite,
        arguments.workers,
        arguments.executor,
    )


def _suite_of(folder: RunFolder, manifest: RunManifest) -> SuiteFile:
    """The run folder's copy of its suite, with the base folder of the original."""
    file = open_suite(str(folder.path / SUITE_COPY))
    return replace(file, start=Path(manifest.base) if manifest.base else None)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _work(session: RunSession, folder: RunFolder) -> Work:
    """The missing images and fits of a run, with the costs of earlier runs."""
    missing = [cell for task in session.tasks for cell in task.group.cells if cell.id in task.missing]
    fits = fits_of(missing, session.planned.suite.settings)
    found = estimate(missing, session.planned.suite, folder, RESULTS)
    rows = found.rows if found is not None else {}
    return Work(
        Counter(cell.method for cell in missing),
        Counter(method for method, _, _ in fits),
        {label: cost.image_seconds for label, cost in rows.items()},
        {label: cost.fit_seconds for label, cost in rows.items()},
        found.scoring_seconds if found is not None else 0.0,
        session.workers,
    )


def _per_new_image(seconds: float, session: RunSession) -> float | None:
    """Seconds of scoring per new image; None where most images were scored before."""
    new = sum(len(task.missing) for task in session.tasks)
    planned = sum(len(task.group.cells) for task in session.tasks)
    return seconds / new if 2 * new > planned else None


def _score(
    inputs: ScoringInputs, display: Display, console: Console, arguments: RunArguments | ScoreArguments
) -> None:
    display.start_scoring((len(inputs.labels) + 2) * len(inputs.metrics.of_images))
    warn, cache = partial(_warn, console), arguments.cache
    prepare = None
    if arguments.executor == "ray" and cache is not None:
        prepare = partial(compute_features, inputs, cache, warn)
    score(inputs, display.scoring, overwrite=arguments.overwrite, cache=cache, warn=warn, prepare=prepare)


def _warn(console: Console, line: str) -> None:
    console.print(printable(line), style="yellow", markup=False)


def _write_report(inputs: ScoringInputs) -> str:
    """Write the report's files; return the summary for the terminal."""
    return summary(write_report_files(inputs.folder, inputs.cells, inputs.people.chosen))


def _print_report_path(folder: RunFolder, console: Console) -> None:
    for name, path in (("full report", REPORT), ("page with images", PAGE)):
        console.print(f"{name}: {folder.path / path}", markup=False, highlight=False, soft_wrap=True)
