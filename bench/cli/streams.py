"""Standard streams that end no command: work is done and kept where nobody can read about it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


class TolerantStream:
    """A text stream that drops what cannot be written, because it is closed or its disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """The first error."""
        if hasattr(stream, "reconfigure"):
            # Arrows, names and captions on a terminal of another encoding become question marks.
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self.error = self.error or error
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self.error = self.error or error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def tolerant_streams() -> Iterator[TolerantStream]:
    """Replace stdout and stderr; yields stdout, whose `error` is the reason why the output was lost."""
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    out, err = TolerantStream(sys.stdout or _nowhere()), TolerantStream(sys.stderr or _nowhere())
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        if out.error is None and err.error is None:
            sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    """Open closed standard descriptors: the next opened file would get their number and others' messages."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # lives as long as the process
