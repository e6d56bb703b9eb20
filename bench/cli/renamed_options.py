"""Options of version 0.1; accepted for one version, with a one-line notice."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

from bench.errors import RenamedWarning

RENAMED_OPTIONS: Final = {
    "--again": "--overwrite",
    "--lean": "--timestep-power",
    "--summary": "--summary-loss-weight",
}
"""New option by old option."""


class ShowWarning(Protocol):
    """The signature of `warnings.showwarning`."""

    def __call__(self, message: Warning, category: type, *location: Any) -> None:
        """Print one warning."""
        ...


def with_present_options(words: Sequence[str]) -> list[str]:
    """Return the command line with every old option replaced; warn once per old option."""
    for old in RENAMED_OPTIONS.keys() & set(words):
        new = RENAMED_OPTIONS[old]
        warnings.warn(
            f"{old} is now {new}; the old name will be refused by the next version", RenamedWarning, 2
        )
    return [RENAMED_OPTIONS.get(word, word) for word in words]


@contextmanager
def one_line_notices() -> Iterator[None]:
    """Print every RenamedWarning as one line on stderr, without the source location."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RenamedWarning)
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
        yield


def _show_warning(default: ShowWarning, message: Warning, category: type, *location: Any) -> None:
    if issubclass(category, RenamedWarning):
        print(f"bench: notice: {message}", file=sys.stderr)
    else:
        default(message, category, *location)
