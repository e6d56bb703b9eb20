"""The command `bench votes`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completion import complete_methods, complete_runs
from bench.cli.options import JsonOption
from bench.cli.printing import print_error, write_or_print
from bench.errors import SuiteError

FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="<path>", help="With --count: files of answers.", show_default=False),
]
CountOption = Annotated[bool, typer.Option("--count", help="Count the votes in files of answers.")]
MethodsOption = Annotated[
    str,
    typer.Option(
        help="Comma-separated rows to compare.", show_default="all", autocompletion=complete_methods
    ),
]
ComparisonsOption = Annotated[int, typer.Option(min=1, max=10_000, help="Number of comparisons.")]
SeedOption = Annotated[int, typer.Option(help="Chooses comparisons, sides and order.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        help="File of the page, or of the results.",
        show_default="votes.html in the run folder; results to stdout",
    ),
]


def votes(
    run: Annotated[
        Path, typer.Argument(help="Run folder.", show_default=False, autocompletion=complete_runs)
    ],
    files: FilesArgument = None,
    count: CountOption = False,
    methods: MethodsOption = "",
    comparisons: ComparisonsOption = 100,
    seed: SeedOption = 0,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Let people compare images blindly, and count their votes.

    Writes a page that shows two images of one person and text at a time, beside the references, without the
    names of methods. Send it to voters; each saves a file of answers. --count computes the strengths of the
    methods (Bradley-Terry model with ties) with intervals over voters and people, and each metric's
    agreement. Exit status: 3 if some files of answers cannot be used (one line for each).

    Examples:

        bench votes results/tiny --comparisons 60

        bench votes results/tiny --count answers/*.json
    """
    from bench.votes.commands import StudyArguments, count_votes, write_votes_page

    if count:
        if methods:
            raise SuiteError("--methods chooses the rows of a new page; leave it out with --count")
        status, text, refused = count_votes(run, files or [], "json" if json else "markdown")
        for line in refused:
            print_error(line)
        write_or_print(text, output, markdown=not json)
        raise typer.Exit(status)
    if files:
        raise SuiteError(f"{files[0]}: files of answers need --count")
    if json:
        raise SuiteError("--json is a format of counted votes and needs --count")
    names = [name.strip() for name in methods.split(",") if name.strip()]
    written = write_votes_page(run, StudyArguments(names, comparisons, seed, output))
    print(f"{written.page}\nwhich method is on which side (not for voters): {written.key}")
    for line in written.remarks:
        print(line)
