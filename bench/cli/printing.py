"""What the commands print: Markdown fitted to the terminal, and errors as one line."""

import sys
from shutil import get_terminal_size
from typing import Final

from bench.markdown import printable
from bench.working_folder import working_folder

DELETED_WORKING_FOLDER: Final = (
    "the working folder does not exist any more: give absolute paths, or change into another folder"
)


def for_terminal(text: str) -> str:
    """The text fitted to the terminal; as it is where the output is none."""
    from bench.report.terminal import fitted

    return fitted(text, get_terminal_size().columns) if sys.stdout.isatty() else text


def print_error(error: object) -> None:
    """Print an error as one line on stderr."""
    gone = "" if working_folder() else f"; {DELETED_WORKING_FOLDER}"
    print(f"bench: {printable(' '.join(str(error).split()))}{gone}", file=sys.stderr)
