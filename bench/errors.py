"""What can go wrong in the harness, and the exit status that each kind of trouble ends with.

BenchError            wrong input: exit status 2
|- SuiteError         a suite file or an option says something that cannot be meant
|- DatasetError       an identity's photographs or captions cannot be used
|  `- PhotoError      one picture file cannot be read
|- StoreError         the run folder is busy, unwritable or full
`- ReportError        a run folder holds no table, or numbers that must not share a column
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """How `bench` ends."""

    DONE = 0
    INTERNAL = 1
    WRONG_INPUT = 2
    SOME_FAILED = 3


class RenamedWarning(FutureWarning):
    """An old name was used and is still understood; the message is one line."""


class BenchError(Exception):
    """Wrong input; the message is one line that says where, what was seen, what was wanted, what to do."""


class SuiteError(BenchError):
    """A suite file or an option says something that cannot be meant."""


class DatasetError(BenchError):
    """An identity's photographs or captions cannot be used."""


class PhotoError(DatasetError):
    """One picture file cannot be read."""


class StoreError(BenchError):
    """The run folder is busy, unwritable or full."""


class ReportError(BenchError):
    """A run folder holds no table, or numbers that must not share a column."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The advice after `unknown ...;`: the closest known name, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
