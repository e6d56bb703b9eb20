"""What the commands print: Markdown fitted to the terminal, and errors as one line."""

import sys
from pathlib import Path
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


def write_or_print(text: str, output: Path | None, *, markdown: bool) -> None:
    """Write the text to a file, or print it; printed Markdown is fitted to the terminal."""
    from bench.atomic_io import write_text

    if output is not None:
        write_text(output, text)
    else:
        print(for_terminal(text) if markdown else text, end="")


def print_error(error: object) -> None:
    """Print an error as one line on stderr."""
    gone = "" if working_folder() else f"; {DELETED_WORKING_FOLDER}"
    print(f"bench: {printable(' '.join(str(error).split()))}{gone}", file=sys.stderr)
