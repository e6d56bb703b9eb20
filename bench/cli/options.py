"""Option types shared by the commands."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completion import complete_runs, complete_suites
from bench.errors import SuiteError


class Device(StrEnum):
    """Device of the networks; `auto` uses a GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Format(StrEnum):
    """Format of a report."""

    markdown = "markdown"
    csv = "csv"
    json = "json"
    html = "html"
    latex = "latex"
    scores_csv = "scores-csv"
    scores_parquet = "scores-parquet"


class ComparisonFormat(StrEnum):
    """Format of a comparison of two runs."""

    markdown = "markdown"
    html = "html"


class LeaderboardFormat(StrEnum):
    """Format of a table over several runs."""

    markdown = "markdown"
    csv = "csv"
    json = "json"


EmbedOption = Annotated[bool, typer.Option("--embed", help="With html: put the thumbnails into the page.")]
CacheOption = Annotated[
    Path | None,
    typer.Option(help="Folder of kept image features.", show_default="$PERSONABENCH_CACHE"),
]
NoCacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Keep no image features on disk, and use none.")
]


def features_folder(cache: Path | None, no_cache: bool) -> Path | None:
    """The folder of image features, or None; raises SuiteError where both options are given."""
    from bench.scoring.feature_cache import cache_folder

    if no_cache and cache is not None:
        raise SuiteError(f"--cache {cache} and --no-cache contradict each other; leave one of them out")
    return None if no_cache else cache_folder(cache)


DeviceOption = Annotated[Device, typer.Option(help="Device of the networks; auto uses a GPU if available.")]
SuiteOption = Annotated[
    str,
    typer.Option(
        help="Name of a built-in suite, or path of a .toml suite file.", autocompletion=complete_suites
    ),
]
RunArgument = Annotated[
    Path | None,
    typer.Argument(help="Run folder.", show_default="the latest run", autocompletion=complete_runs),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ExecutorOption = Annotated[str, typer.Option(help="local, or ray for a cluster.")]
