"""The command `bench log`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completion import complete_runs


class Tracker(StrEnum):
    """Where a run is logged."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    trackio = "trackio"


def log(
    run: Annotated[
        Path, typer.Argument(help="Run folder.", show_default=False, autocompletion=complete_runs)
    ],
    to: Annotated[Tracker, typer.Option(help="Tracker, an optional package.", show_default=False)],
    project: Annotated[
        str | None, typer.Option(help="Name of the project.", show_default="name of the run folder")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Folder of local files.")] = Path("logs"),
    images: Annotated[int, typer.Option(min=0, help="Images per method.")] = 8,
) -> None:
    """Log the scores and some images of a finished run to an experiment tracker.

    Every row of the report becomes a run of the tracker, with its numbers, intervals and settings.

    Examples:

        bench log results/tiny --to tensorboard && tensorboard --logdir logs

        WANDB_MODE=offline bench log results/tiny --to wandb
    """
    from bench.analysis.comparison_table import compare
    from bench.runs.finished_run import read_run
    from bench.trackers import log_table

    count = log_table(compare(read_run(run)), to.value, project or run.resolve().name, folder, images)
    print(f"{count} rows logged to {to.value}")
