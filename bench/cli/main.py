"""The commands `bench run`, `report`, `plot`, `doctor`, `data` and `list`."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import typer

from bench.cli import train
from bench.cli.options import (
    CacheOption,
    Device,
    DeviceOption,
    ExecutorOption,
    Format,
    JsonOption,
    NoCacheOption,
    SuiteOption,
)
from bench.cli.renamed_options import one_line_notices, with_present_options
from bench.cli.streams import tolerant_streams
from bench.errors import BenchError, ExitStatus, SuiteError
from bench.markdown import printable

HELP = """Compare methods for personalising a text-to-image diffusion model.

Each method receives a few captioned photographs of one person and generates new images of that person. The
images are evaluated: identity, fidelity, diversity, prompt match, cost.

    bench run --methods all        generate and evaluate images (minutes)

    bench report                   print the tables of the latest run

    bench list methods             list the available methods

    bench doctor                   check that nothing is missing
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(train.app, name="train")


class Catalogue(StrEnum):
    """Tables of `bench list`."""

    methods = "methods"
    metrics = "metrics"
    suites = "suites"
    prompts = "prompts"
    datasets = "datasets"
    aggregators = "aggregators"
    presets = "presets"


@app.command()
def run(
    suite: SuiteOption = "tiny",
    methods: Annotated[
        list[str],
        typer.Option(metavar="<str>", help="Comma-separated method names or package.module:Class, or all."),
    ] = ["all"],  # noqa: B006  # typer reads the default and nothing changes it
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="results/<suite>")] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Generate only cells whose id matches, such as '*/ada/*/s1'."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print size and expected costs; stop.")] = False,
    cells: Annotated[bool, typer.Option("--cells", help="With --dry-run: also print all ids.")] = False,
    device: DeviceOption = Device.auto,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of all images.", show_default="the suite's"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Regenerate existing images.")] = False,
    executor: ExecutorOption = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes.", show_default="one per core, or per GPU"),
    ] = None,
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
    from bench.scoring.feature_cache import cache_folder

    kept = None if no_cache else cache_folder(cache)
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
        kept,
    )
    outcome = run_benchmark(arguments)
    print(outcome.text if dry_run else _for_terminal(outcome.text))
    raise typer.Exit(outcome.status)


@app.command()
def score(
    run: Annotated[
        Path | None, typer.Argument(help="A run folder (default: the latest one).", show_default=False)
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="Metrics of this suite (default: the run's own suite).", show_default=False),
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="Comma-separated metrics to add as columns.", show_default=False)
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
    from bench.scoring.feature_cache import cache_folder

    kept = None if no_cache else cache_folder(cache)
    outcome = score_run(ScoreArguments(run, suite, metrics, overwrite, kept, executor))
    print(_for_terminal(outcome.text))


@app.command()
def report(
    run: Annotated[Path | None, typer.Argument(help="Run folder.", show_default="the latest run")] = None,
    format: Annotated[Format, typer.Option(help="Format of the report.")] = Format.markdown,
    output: Annotated[
        Path | None, typer.Option(help="Output file.", show_default="stdout; report.html in the run folder")
    ] = None,
    embed: Annotated[
        bool,
        typer.Option("--embed", help="With html: put the thumbnails into the page."),
    ] = False,
) -> None:
    """Print the tables of a finished run, or write its page.

    Examples:

        bench report

        bench report results/tiny --format json --output tiny.json

        bench report results/tiny --format html
    """
    from bench.atomic_io import write_text
    from bench.benchmark import render_report, write_html

    if embed and format is not Format.html:
        raise SuiteError(f"--embed needs --format html; found {format.value}")
    if format is Format.html:
        print(write_html(run, output, embed=embed))
        return
    text = render_report(run, format.value)
    if output is None:
        print(_for_terminal(text) if format is Format.markdown else text, end="")
    else:
        write_text(output, text)


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(help="The first run folder.", show_default=False)],
    other: Annotated[Path, typer.Argument(help="The second run folder.", show_default=False)],
) -> None:
    """Print how two runs differ in settings, fingerprints and scores.

    Scores are compared by paired differences per method and metric, over the people and prompts of both
    runs. A metric with another fingerprint, such as another network, is not compared.

    Examples:

        bench compare results/tiny results/tiny-seed7
    """
    from bench.benchmark import compare_runs

    print(_for_terminal(compare_runs(one, other)), end="")


@app.command()
def plot(
    output: Annotated[Path, typer.Argument(help="Output file: .svg, .pdf or .png.")],
    run: Annotated[Path | None, typer.Option(help="Run folder.", show_default="the latest run")] = None,
    x: Annotated[
        str, typer.Option(help="A setting that the suite sweeps, or a metric.")
    ] = "prompt-match@attributes",
    y: Annotated[str, typer.Option(help="A metric with one score per image.")] = "identity@sface",
) -> None:
    """Plot a metric against a setting or another metric.

    Error bars are 95 % confidence intervals.

    Examples:

        bench plot trade-off.svg

        bench plot photos.svg --run results/study-photos --x references --y identity@face-rendered
    """
    from bench.benchmark import plot_run

    plot_run(run, x, y, output)


@app.command()
def doctor(
    suite: SuiteOption = "tiny",
    methods: Annotated[str, typer.Option(help="Comma-separated methods to check, or all.")] = "all",
    json: JsonOption = False,
) -> None:
    """Check that everything a suite needs is available.

    Checks packages, device, weights, photographs and disk space. Opens every evaluation network; downloads
    nothing. Exit status: 0 if everything is available, 2 for wrong input, 3 if something is missing (the
    output explains how to obtain it).

    Examples:

        bench doctor

        bench doctor --suite celeba-sd15 --methods text-only,dreambooth-lora
    """
    from bench.doctor.diagnosis import as_json, console_of, diagnose, show

    diagnosis = diagnose(suite, methods)
    if json:
        print(as_json(diagnosis))
    else:
        show(diagnosis, console_of(sys.stdout.isatty()))
    raise typer.Exit(diagnosis.status)


@app.command()
def data(
    name: Annotated[
        str | None, typer.Argument(help="Dataset, see `bench list datasets`.", show_default=False)
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset.", show_default=False)] = None,
    suite: Annotated[
        str | None, typer.Option(help="Use the dataset and settings of this suite.", show_default=False)
    ] = None,
    identities: Annotated[
        int | None, typer.Option(help="Number of identities to sample.", show_default="all")
    ] = None,
    references: Annotated[
        int | None, typer.Option(help="Photographs per identity given to a method.", show_default="4")
    ] = None,
    partition: Annotated[
        str | None, typer.Option(help="CelebA's partition: train, valid, test or all.", show_default="test")
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(help="CelebA's images: aligned or in-the-wild.", show_default="aligned"),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Open all photographs, not only a sample.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the photographs and captions that a run would use.

    Also lists problems. Opens a sample of the photographs and searches it for copies, across the split and
    across people; --check opens all that a run would open. Exit status: 0 if a run would start, 2 for wrong
    input, 3 if a run would refuse the dataset.

    Examples:

        bench data rendered

        bench data folder --root people --references 3

        bench data celeba --root /data/celeba --identities 20 --check

        bench data --suite celeba-sd15
    """
    from bench.cli.dataset_inspection import as_json, inspect_dataset, requested_dataset, show
    from bench.doctor.diagnosis import console_of

    options = {
        "identities": identities,
        "references": references,
        "partition": partition,
        "pictures": pictures,
    }
    settings, base = requested_dataset(name, suite, root, options)
    summary = inspect_dataset(settings, base, open_all=check)
    if json:
        print(as_json(summary))
    else:
        show(summary, settings, console_of(sys.stdout.isatty()))
    raise typer.Exit(summary.status)


@app.command(name="list")
def list_(
    what: Annotated[Catalogue | None, typer.Argument(help="What to list.", show_default="everything")] = None,
) -> None:
    """List methods, metrics, suites, prompts, datasets, aggregators and presets."""
    from bench.cli.listing import listing

    print(listing([what.value] if what else [kind.value for kind in Catalogue]))


def main() -> None:
    """Run the command line; expected errors are printed as one line on stderr."""
    with tolerant_streams() as stdout:
        status = _run()
        sys.stdout.flush()
        # A reader such as `head` may close the pipe; a full disk is an error.
        if isinstance(stdout.error, OSError) and not isinstance(stdout.error, BrokenPipeError):
            _print_error(f"the output cannot be written ({stdout.error.strerror})")
            status = status or ExitStatus.WRONG_INPUT
    sys.exit(status)


def _run() -> int:
    from methods.errors import MethodError
    from metrics.interface import MetricError

    _set_missing_home()
    # A custom `package.module:Class` may be in the working folder; appended last, so that it shadows nothing.
    try:
        sys.path.append(str(Path.cwd()))
    except FileNotFoundError:
        _print_error("the working folder does not exist any more; change into another one")
        return ExitStatus.WRONG_INPUT
    try:
        with one_line_notices():
            app(with_present_options(sys.argv[1:]))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except (BenchError, MethodError, MetricError) as error:
        _print_error(error)
        return ExitStatus.WRONG_INPUT
    except RuntimeError as error:
        if "home directory" not in str(error):
            raise
        _print_error(f"{error} A path begins with ~ and an unknown user; write it in full")
        return ExitStatus.WRONG_INPUT
    except KeyboardInterrupt:
        _print_error("interrupted; run the same command again to resume")
        return 130
    return 0


def _for_terminal(text: str) -> str:
    """The text fitted to the terminal; as it is where the output is none."""
    from bench.report.terminal import fitted

    return fitted(text, get_terminal_size().columns) if sys.stdout.isatty() else text


def _print_error(error: object) -> None:
    print(f"bench: {printable(' '.join(str(error).split()))}", file=sys.stderr)


def _set_missing_home() -> None:
    """Name a home folder that does not exist, for a user without one: libraries ask for it when imported."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"
