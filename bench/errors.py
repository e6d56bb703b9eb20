"""Errors of `bench` and its exit statuses.

BenchError            wrong input: exit status 2
|- SuiteError         a suite file or an option is invalid
|- DatasetError       an identity's photographs or captions cannot be used
|  `- PhotoError      an image file cannot be read
|- StoreError         the run folder is busy, unwritable or full
|- WorkerError        a worker process ended before it could work
`- ReportError        a run folder has no tables, or its numbers are not comparable
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of `bench`."""

    DONE = 0
    WRONG_INPUT = 2
    SOME_FAILED = 3


class RenamedWarning(FutureWarning):
    """A renamed key or option was used under its old name, which is still accepted."""


class BenchError(Exception):
    """Wrong input; the message is one line: the place, the value found, what was expected, the remedy."""


class SuiteError(BenchError):
    """A suite file or an option is invalid."""


class DatasetError(BenchError):
    """An identity's photographs or captions cannot be used."""


class PhotoError(DatasetError):
    """An image file cannot be read."""


class StoreError(BenchError):
    """The run folder is busy, unwritable or full."""


class WorkerError(BenchError):
    """A worker process ended before it could work."""


class ReportError(BenchError):
    """A run folder has no tables, or its numbers are not comparable."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggestion that follows `unknown ...;`: the closest known name, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
