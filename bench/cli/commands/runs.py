"""Commands that write a run folder: `bench run` and `bench score`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completion import complete_methods, complete_metrics, complete_suites
from bench.cli.options import (
    CacheOption,
    Device,
    DeviceOption,
    ExecutorOption,
    NoCacheOption,
    RunArgument,
    SuiteOption,
    features_folder,
)
from bench.cli.printing import for_terminal
from bench.errors import SuiteError

MethodsOption = Annotated[
    list[str],
    typer.Option(
        metavar="<str>",
        help="Comma-separated method names or package.module:Class, or all.",
        autocompletion=complete_methods,
    ),
]
OutOption = Annotated[Path | None, typer.Option(help="Run folder.", show_default="results/<suite>")]
OnlyOption = Annotated[
    str | None,
    typer.Option(metavar="GLOB", help="Generate only cells whose id matches, such as '*/ada/*/s1'."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print size and expected costs; stop.")]
CellsOption = Annotated[bool, typer.Option("--cells", help="With --dry-run: also print all ids.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of all images.", show_default="the suite's")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Regenerate existing images.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes.", show_default="one per core, or per GPU")
]


def run(
    suite: SuiteOption = "tiny",
    methods: MethodsOption = ["all"],  # noqa: B006  # typer reads the default and nothing changes it
    out: OutOption = None,
    only: OnlyOption = None,
    dry_run: DryRunOption = False,
    cells: CellsOption = False,
    device: DeviceOption = Device.auto,
    seed: SeedOption = None,
    overwrite: OverwriteOption = False,
    executor: ExecutorOption = "local",
    workers: WorkersOption = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Fit methods, generate and evaluate images, print the table.

    A second run generates only missing images, and an interrupted run resumes where it stopped.
    Exit status: 0 if all cells are complete, 2 for wrong input, 3 if some cells failed (see the table).

    Examples:

        bench run --methods all

        bench run --suite smoke --methods text-only,photo-copy

        bench run --methods text-only,my_method:MyMethod --only '*/*/*/s1'

        bench run --suite my_suite.toml --out results/mine --dry-run
    """
    from bench.benchmark import RunArguments, run_benchmark

    if cells and not dry_run:
        raise SuiteError("--cells prints the ids of a dry run and needs --dry-run")

    arguments = RunArguments(
        suite,
        ",".join(methods),
        out,
        only,
        dry_run,
        cells,
        device.value,
        seed,
        overwrite,
        executor,
        workers,
        features_folder(cache, no_cache),
    )
    outcome = run_benchmark(arguments)
    print(outcome.text if dry_run else for_terminal(outcome.text))
    raise typer.Exit(outcome.status)


def score(
    run: RunArgument = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Metrics of this suite (default: the run's own suite).",
            show_default=False,
            autocompletion=complete_suites,
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            help="Comma-separated metrics to add as columns.",
            show_default=False,
            autocompletion=complete_metrics,
        ),
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute existing scores again.")] = False,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    executor: ExecutorOption = "local",
) -> None:
    """Score the images of a run folder, without a backbone.

    Examples:

        bench score

        bench score results/tiny --metrics nearest-reference@lpips-alex,my_metric:Brightness

        bench score results/tiny --suite my_metrics.toml
    """
    from bench.benchmark import ScoreArguments, score_run

    kept = features_folder(cache, no_cache)
    outcome = score_run(ScoreArguments(run, suite, metrics, overwrite, kept, executor))
    print(for_terminal(outcome.text))
