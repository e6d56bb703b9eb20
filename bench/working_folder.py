"""The working folder, which may be deleted while its processes run."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

NOWHERE: Final = Path("/dev/fd")
"""A folder that every process has, and in which nobody can create a file."""


def working_folder() -> Path | None:
    """None if it was deleted: absolute paths can be used then, and every relative one leads nowhere."""
    try:
        here = Path.cwd()
        return None if NOWHERE.exists() and here.samefile(NOWHERE) else here
    except OSError:
        return None


def leave_deleted_folder() -> None:
    """Change from a deleted working folder into one without usable files.

    Libraries ask for the working folder: the first matrix product of MKL ends a process without one.
    """
    if working_folder() is None:
        with suppress(OSError):
            os.chdir(NOWHERE)
