"""Commands that read finished runs: `bench report`, `compare`, `leaderboard` and `plot`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completion import complete_columns, complete_runs
from bench.cli.options import ComparisonFormat, EmbedOption, Format, LeaderboardFormat, RunArgument
from bench.cli.printing import write_or_print
from bench.errors import SuiteError


def report(
    run: RunArgument = None,
    format: Annotated[Format, typer.Option(help="Format of the report.")] = Format.markdown,
    output: Annotated[
        Path | None, typer.Option(help="Output file.", show_default="stdout; report.html in the run folder")
    ] = None,
    embed: EmbedOption = False,
) -> None:
    """Print the tables of a finished run, or write its page.

    csv and json contain the numbers of the tables; scores-csv and scores-parquet one row per image and
    metric.

    Examples:

        bench report

        bench report results/tiny --format json --output tiny.json

        bench report results/tiny --format scores-csv --output scores.csv

        bench report results/tiny --format html
    """
    from bench.reporting import render_report, write_html, write_report

    if embed and format is not Format.html:
        raise SuiteError(f"--embed needs --format html; found {format.value}")
    if format is Format.html:
        print(write_html(run, output, embed=embed))
    elif output is not None:
        write_report(run, format.value, output)
    elif format is Format.scores_parquet:
        raise SuiteError("--format scores-parquet needs --output FILE, because Parquet is no text")
    else:
        write_or_print(render_report(run, format.value), None, markdown=format is Format.markdown)


def compare(
    one: Annotated[
        Path,
        typer.Argument(help="The first run folder.", show_default=False, autocompletion=complete_runs),
    ],
    other: Annotated[
        Path,
        typer.Argument(help="The second run folder.", show_default=False, autocompletion=complete_runs),
    ],
    format: Annotated[ComparisonFormat, typer.Option(help="Format.")] = ComparisonFormat.markdown,
    output: Annotated[
        Path | None,
        typer.Option(help="Output file.", show_default="stdout; with html a file in the second run folder"),
    ] = None,
    embed: EmbedOption = False,
) -> None:
    """Print how two runs differ in settings, fingerprints and scores.

    Scores are compared by paired differences per method and metric, over the people and prompts of both
    runs. A metric with another fingerprint, such as another network, is not compared. html also shows the
    images of both runs side by side.

    Examples:

        bench compare results/tiny results/tiny-seed7

        bench compare results/tiny results/tiny-seed7 --format html
    """
    from bench.reporting import compare_runs, write_comparison

    if embed and format is not ComparisonFormat.html:
        raise SuiteError(f"--embed needs --format html; found {format.value}")
    if format is ComparisonFormat.html:
        print(write_comparison(one, other, output, embed=embed))
    else:
        write_or_print(compare_runs(one, other), output, markdown=True)


def leaderboard(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders.", show_default=False, autocompletion=complete_runs),
    ],
    format: Annotated[
        LeaderboardFormat, typer.Option(help="Format of the table.")
    ] = LeaderboardFormat.markdown,
    output: Annotated[Path | None, typer.Option(help="Output file.", show_default="stdout")] = None,
) -> None:
    """Print one table over runs of the same benchmark, with the run and date of every row.

    Methods and backbones may differ; suite, seed, people, photographs, prompts and metrics must be equal.
    Methods are compared by paired differences, as within one run.

    Examples:

        bench leaderboard results/tiny results/tiny-mine

        bench leaderboard results/tiny* --format csv --output leaderboard.csv
    """
    from bench.reporting import render_leaderboard

    text = render_leaderboard(runs, format.value)
    write_or_print(text, output, markdown=format is LeaderboardFormat.markdown)


def plot(
    output: Annotated[Path, typer.Argument(help="Output file: .svg, .pdf or .png.")],
    run: Annotated[
        Path | None,
        typer.Option(help="Run folder.", show_default="the latest run", autocompletion=complete_runs),
    ] = None,
    x: Annotated[
        str,
        typer.Option(
            help="A setting that the suite sweeps, a metric, or false-match-rate.",
            autocompletion=complete_columns,
        ),
    ] = "prompt-match@attributes",
    y: Annotated[
        str, typer.Option(help="A metric with one score per image.", autocompletion=complete_columns)
    ] = "identity@sface",
) -> None:
    """Plot a metric against a setting or another metric.

    Intervals are 95 % confidence intervals; two metrics are plotted as paired differences to the floor. Over
    false-match-rate, an identity metric is the share of images accepted as the person, at thresholds set by
    photographs of other people.

    Examples:

        bench plot trade-off.svg

        bench plot match-rates.svg --x false-match-rate --y identity@sface

        bench plot photos.svg --run results/study-photos --x references --y identity@face-rendered
    """
    from bench.reporting import plot_run

    plot_run(run, x, y, output)
