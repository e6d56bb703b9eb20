"""The command line: `bench run`, `report`, `doctor`, `data`, `list`, `train`."""

import sys
import warnings
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bench.cli import train
from bench.errors import BenchError, ExitStatus, RenamedWarning

HELP = """Compares methods of personalising a text-to-image diffusion model.

Give a method a few captioned photographs of one person, ask it for new pictures of that person,
and measure what comes back: identity, fidelity, diversity, prompt match, cost.

    bench run --methods all        draw, measure, and print the table (minutes on two CPU cores)

    bench report                   the tables of the latest run, in Markdown

    bench list methods             what can be compared

    bench doctor                   is all there that a suite needs
"""

RENAMED_OPTIONS: Final = {
    "--again": "--overwrite",
    "--lean": "--timestep-power",
    "--summary": "--summary-loss-weight",
}
"""Options of version 0.1; accepted for one version, with a one-line notice."""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(train.app, name="train")


class Device(StrEnum):
    """Where the networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Format(StrEnum):
    """How a report is written."""

    markdown = "markdown"
    csv = "csv"
    json = "json"


class Listed(StrEnum):
    """What can be listed."""

    methods = "methods"
    metrics = "metrics"
    suites = "suites"
    prompts = "prompts"
    datasets = "datasets"
    aggregators = "aggregators"
    presets = "presets"


@app.command()
def run(
    suite: Annotated[
        str, typer.Option(help="A built-in suite's name, or a suite file ending in .toml.")
    ] = "tiny",
    methods: Annotated[
        list[str],
        typer.Option(metavar="<str>", help="Methods, joined by commas: names, package.module:Class, or all."),
    ] = ["all"],  # noqa: B006  # typer reads it, nobody writes it
    out: Annotated[
        Path | None, typer.Option(help="The run folder; results/<suite> without it.", show_default=False)
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Draw only cells whose id matches: '*/ada/*/s1'."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    device: Annotated[Device, typer.Option(help="Where the networks run.")] = Device.auto,
    seed: Annotated[
        int | None,
        typer.Option(help="The seed of every picture; the suite's without it.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Regenerate existing images.")] = False,
    executor: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
) -> None:
    """Fit, draw, measure, and print the table.

    A second run draws only what is missing, and a run that was killed goes on where it stopped.
    Ends with 0 if every cell is there, 2 for wrong input, 3 if some cells failed (the table says which).

    Examples:

        bench run --methods all

        bench run --suite smoke --methods text-only,photo-copy

        bench run --methods text-only,my_method:MyMethod --only '*/*/*/s1'

        bench run --suite my_suite.toml --out results/mine --dry-run
    """
    from bench.benchmark import RunArguments, run_benchmark

    arguments = RunArguments(
        suite, ",".join(methods), out, only, dry_run, device.value, seed, overwrite, executor
    )
    outcome = run_benchmark(arguments)
    print(outcome.text)
    raise typer.Exit(outcome.status)


@app.command()
def report(
    run: Annotated[
        Path | None, typer.Argument(help="A run folder; the latest one without it.", show_default=False)
    ] = None,
    format: Annotated[Format, typer.Option(help="How the report is written.")] = Format.markdown,
    output: Annotated[
        Path | None, typer.Option(help="A file to write instead of stdout.", show_default=False)
    ] = None,
) -> None:
    """Print the tables of a finished run.

    Examples:

        bench report

        bench report results/tiny --format json --output tiny.json
    """
    from bench.atomic_io import write_text
    from bench.benchmark import render_report

    text = render_report(run, format.value)
    if output is None:
        print(text, end="")
    else:
        write_text(output, text)


@app.command()
def plot(
    output: Annotated[Path, typer.Argument(help="The picture to write: .svg, .pdf or .png.")],
    run: Annotated[
        Path | None, typer.Option(help="A run folder; the latest one without it.", show_default=False)
    ] = None,
    x: Annotated[
        str, typer.Option(help="A setting that the suite sweeps, or a metric.")
    ] = "prompt-match@attributes",
    y: Annotated[str, typer.Option(help="A metric with a score per picture.")] = "identity@sface",
) -> None:
    """Draw one metric against a swept setting or another metric, with 95 % intervals.

    Examples:

        bench plot trade-off.svg

        bench plot photos.svg --run results/study-photos --x references --y identity@face-rendered
    """
    from bench.benchmark import plot_run

    plot_run(run, x, y, output)


@app.command()
def doctor(
    suite: Annotated[
        str, typer.Option(help="A built-in suite's name, or a suite file ending in .toml.")
    ] = "tiny",
    methods: Annotated[
        str, typer.Option(help="The methods that are to run, joined by commas, or all.")
    ] = "all",
    json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
) -> None:
    """Say what a suite needs, and whether it is there: packages, device, weights, photographs, disk.

    Opens every evaluation network for real, and downloads nothing. Ends with 0 if all is there, 2 for
    wrong input, 3 if something is missing (the table says how to get it).

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
        str | None, typer.Argument(help="A name of `bench list datasets`.", show_default=False)
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The dataset's folder.", show_default=False)] = None,
    suite: Annotated[
        str | None, typer.Option(help="The dataset as this suite would use it.", show_default=False)
    ] = None,
    identities: Annotated[
        int | None, typer.Option(help="So many, drawn by the seed; all without it.", show_default=False)
    ] = None,
    references: Annotated[
        int | None, typer.Option(help="Photographs a method sees.", show_default="4")
    ] = None,
    partition: Annotated[
        str | None, typer.Option(help="CelebA's: train, valid, test or all.", show_default="test")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Open every photograph.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
) -> None:
    """Show what a run would use of a dataset: identities, photographs, captions, and problems found.

    Near copies across the split are looked for among the photographs that a moment suffices to open; --check
    opens all. Ends with 0 if a run would start, 2 for wrong input, 3 if it would refuse (the lines say why).

    Examples:

        bench data rendered

        bench data folder --root people --references 3

        bench data celeba --root /data/celeba --identities 20 --check

        bench data --suite celeba-sd15
    """
    from bench.cli.dataset_inspection import as_json, asked, inspect_dataset, show
    from bench.doctor.diagnosis import console_of

    given = {"identities": identities, "references": references, "partition": partition}
    settings, base = asked(name, suite, root, given)
    stock = inspect_dataset(settings, base, thorough=check)
    if json:
        print(as_json(stock))
    else:
        show(stock, settings, console_of(sys.stdout.isatty()))
    raise typer.Exit(stock.status)


@app.command(name="list")
def list_(
    what: Annotated[Listed | None, typer.Argument(help="All kinds without it.", show_default=False)] = None,
) -> None:
    """Say what there is: methods, metrics, suites, prompts, datasets, aggregators, presets."""
    from bench.cli.listing import listing

    print(listing([what.value] if what else [kind.value for kind in Listed]))


def _present_options(words: Sequence[str]) -> list[str]:
    """The command line with options of version 0.1 replaced."""
    for old in RENAMED_OPTIONS.keys() & set(words):
        new = RENAMED_OPTIONS[old]
        warnings.warn(
            f"{old} is now {new}; the old name will be refused by the next version", RenamedWarning, 2
        )
    return [RENAMED_OPTIONS.get(word, word) for word in words]


def _show_warning(usual: Callable[..., None], message: Warning, category: type, *place: Any) -> None:
    """A renamed name is told in one line, without the place in our code."""
    if issubclass(category, RenamedWarning):
        print(f"bench: notice: {message}", file=sys.stderr)
    else:
        usual(message, category, *place)


def main() -> None:
    """Run the command line; every expected trouble ends in one line on stderr."""
    from methods.errors import MethodError
    from metrics.interface import MetricError

    # A person's own `package.module:Class` lies where they stand; last, so that it hides nothing of ours.
    sys.path.append(str(Path.cwd()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RenamedWarning)
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            app(_present_options(sys.argv[1:]))
    except (BenchError, MethodError, MetricError) as error:
        print(f"bench: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(ExitStatus.WRONG_INPUT)
    except KeyboardInterrupt:
        print("bench: stopped; run again to go on from here", file=sys.stderr)
        sys.exit(130)
