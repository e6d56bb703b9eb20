"""Progress on stderr: a bar while generating or training, a status line while scoring."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.markdown import printable
from bench.runs.events import Event, Failed, Fitted, Generated, Skipped

PLAIN: Final[dict[str, Any]] = {"markup": False, "highlight": False, "soft_wrap": True}


class Display:
    """Displays events: a bar on a terminal, otherwise one line per group to keep logs short."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._groups: set[str] = set()
        self._reasons: set[tuple[str, str]] = set()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("time left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("generating", total=total)

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event) -> bool:
        """Display one event; True for a failure."""
        match event:
            case Fitted(method, identity, seconds):
                self._print(f"{method}/{identity}: fitted in {seconds:.1f} s")
            case Generated(cell) | Skipped(cell):
                self._advance(f"{cell.method}/{cell.identity}")
            case Failed(cell, reason):
                group = f"{cell.method}/{cell.identity}"
                self._advance(group)
                # The table counts failures; here a reason is printed once per group.
                if (group, reason) not in self._reasons:
                    self._reasons.add((group, reason))
                    self._console.print(printable(f"{cell.id}: {reason}"), style="red", **PLAIN)
                return True
        return False

    def _advance(self, group: str) -> None:
        self._progress.update(self._task, advance=1, description=escape(printable(group)))
        if group not in self._groups:
            self._groups.add(group)
            self._print(group)

    def _print(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(printable(line), **PLAIN)


@contextmanager
def scoring_status(console: Console) -> Iterator[Callable[[str], None]]:
    """Show a status line with the current metric; yields a function that sets it."""
    with console.status("scoring") as status:

        def notify(line: str) -> None:
            status.update(escape(printable(f"scoring {line}")))

        yield notify


Report = Callable[[int, int, str], None]
"""Called with the steps done, their total and a note."""


@contextmanager
def reporting(title: str) -> Iterator[Report]:
    """Show a bar with the time left on a terminal, otherwise print a line every 5 %."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, note="")
        printed = -1

        def report(done: int, total: int, note: str) -> None:
            nonlocal printed
            bar.update(task, completed=done, total=total, note=note)
            share = 20 * done // max(1, total)
            if not console.is_terminal and share != printed:
                console.print(f"{title}: {done} of {total}, {note}", markup=False, highlight=False)
            printed = share

        yield report
