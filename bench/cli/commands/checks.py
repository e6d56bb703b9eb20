"""Commands that show what there is: `bench doctor`, `bench data` and `bench list`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completion import complete_datasets, complete_methods, complete_suites
from bench.cli.options import JsonOption, SuiteOption


class Catalogue(StrEnum):
    """Tables of `bench list`."""

    methods = "methods"
    metrics = "metrics"
    suites = "suites"
    prompts = "prompts"
    datasets = "datasets"
    aggregators = "aggregators"
    presets = "presets"


DatasetArgument = Annotated[
    str | None,
    typer.Argument(
        help="Dataset, see `bench list datasets`.", show_default=False, autocompletion=complete_datasets
    ),
]
RootOption = Annotated[Path | None, typer.Option(help="Folder of the dataset.", show_default=False)]
DatasetSuiteOption = Annotated[
    str | None,
    typer.Option(
        help="Use the dataset and settings of this suite.",
        show_default=False,
        autocompletion=complete_suites,
    ),
]
IdentitiesOption = Annotated[
    int | None, typer.Option(help="Number of identities to sample.", show_default="all")
]
ReferencesOption = Annotated[
    int | None, typer.Option(help="Photographs per identity given to a method.", show_default="4")
]
PartitionOption = Annotated[
    str | None, typer.Option(help="CelebA's partition: train, valid, test or all.", show_default="test")
]
PicturesOption = Annotated[
    str | None, typer.Option(help="CelebA's images: aligned or in-the-wild.", show_default="aligned")
]
CheckOption = Annotated[bool, typer.Option("--check", help="Open all photographs, not only a sample.")]


def doctor(
    suite: SuiteOption = "tiny",
    methods: Annotated[
        str,
        typer.Option(help="Comma-separated methods to check, or all.", autocompletion=complete_methods),
    ] = "all",
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


def data(
    name: DatasetArgument = None,
    root: RootOption = None,
    suite: DatasetSuiteOption = None,
    identities: IdentitiesOption = None,
    references: ReferencesOption = None,
    partition: PartitionOption = None,
    pictures: PicturesOption = None,
    check: CheckOption = False,
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


def list_(
    what: Annotated[Catalogue | None, typer.Argument(help="What to list.", show_default="everything")] = None,
) -> None:
    """List methods, metrics, suites, prompts, datasets, aggregators and presets."""
    from bench.cli.listing import listing

    print(listing([what.value] if what else [kind.value for kind in Catalogue]))
