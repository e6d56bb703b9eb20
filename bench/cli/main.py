"""The command line: its commands, and what surrounds each of them."""

import os
import sys
from pathlib import Path

import typer

from bench.cli import train
from bench.cli.commands.checks import data, doctor, list_
from bench.cli.commands.log import log
from bench.cli.commands.reports import compare, leaderboard, plot, report
from bench.cli.commands.runs import run, score
from bench.cli.commands.votes import votes
from bench.cli.printing import print_error
from bench.cli.renamed_options import one_line_notices, with_present_options
from bench.cli.streams import tolerant_streams
from bench.errors import BenchError, ExitStatus
from bench.working_folder import leave_deleted_folder, working_folder

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
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (run, score, report, compare, leaderboard, plot, votes, log, doctor, data):
    app.command()(command)
app.command(name="list")(list_)
app.add_typer(train.app, name="train")


def main() -> None:
    """Run the command line; expected errors are printed as one line on stderr."""
    with tolerant_streams() as stdout:
        status = _run()
        sys.stdout.flush()
        # A reader such as `head` may close the pipe; a full disk is an error.
        if isinstance(stdout.error, OSError) and not isinstance(stdout.error, BrokenPipeError):
            print_error(f"the output cannot be written ({stdout.error.strerror})")
            status = status or ExitStatus.WRONG_INPUT
    sys.exit(status)


def _run() -> int:
    from methods.errors import MethodError
    from metrics.interface import MetricError

    _set_missing_home()
    # A custom `package.module:Class` may be in the working folder; appended last, so that it shadows nothing.
    leave_deleted_folder()
    if folder := working_folder():
        sys.path.append(str(folder))
    try:
        with one_line_notices():
            app(with_present_options(sys.argv[1:]))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except (BenchError, MethodError, MetricError) as error:
        print_error(error)
        return ExitStatus.WRONG_INPUT
    except FileNotFoundError as error:
        if working_folder() is not None:
            raise
        print_error(error)
        return ExitStatus.WRONG_INPUT
    except RuntimeError as error:
        if "home directory" not in str(error):
            raise
        print_error(f"{error} A path begins with ~ and an unknown user; write it in full")
        return ExitStatus.WRONG_INPUT
    except KeyboardInterrupt:
        print_error("interrupted; run the same command again to resume")
        return 130
    return 0


def _set_missing_home() -> None:
    """Name a home folder that does not exist, for a user without one: libraries ask for it when imported."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"
