"""Progress on stderr: a bar while generating, scoring or training."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.markdown import printable
from bench.runs.events import Event, Failed, Fitted, Generated, Skipped
from bench.runs.plan import Cell

PLAIN: Final[dict[str, Any]] = {"markup": False, "highlight": False, "soft_wrap": True}


@dataclass(frozen=True)
class Work:
    """The steps of a run and the seconds that they are expected to take, by earlier runs."""

    images: Mapping[str, int] = field(default_factory=dict)
    """Number of images to make, by row."""
    fits: Mapping[str, int] = field(default_factory=dict)
    image_seconds: Mapping[str, float] = field(default_factory=dict)
    """Of rows with known costs."""
    fit_seconds: Mapping[str, float] = field(default_factory=dict)
    scoring_seconds: float = 0.0
    workers: int = 1

    def of_image(self, label: str) -> float:
        """Expected seconds of an image; the mean of the known rows for an unknown one."""
        known = self.image_seconds.values()
        default = sum(known) / len(known) if known else 1.0
        return self.image_seconds.get(label, default) / self.workers

    def of_fit(self, label: str) -> float:
        """Expected seconds of a fit; 0 for an unknown row."""
        return self.fit_seconds.get(label, 0.0) / self.workers

    @property
    def seconds(self) -> float:
        """Expected seconds of all steps."""
        images = sum(count * self.of_image(label) for label, count in self.images.items())
        fits = sum(count * self.of_fit(label) for label, count in self.fits.items())
        return images + fits + self.scoring_seconds


def notice(line: str) -> None:
    """Print a line on stderr."""
    Console(stderr=True).print(printable(line), **PLAIN)


class Display:
    """Displays a run: one bar with the time left on a terminal, otherwise one line per group.

    Where costs are known from earlier runs, the bar covers fits, images and scoring by their seconds.
    """

    def __init__(self, console: Console, work: Work) -> None:
        self._console = console
        self._work = work
        self._groups: set[str] = set()
        self._reasons: set[tuple[str, str]] = set()
        self._images = 0
        self._scoring_step = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("time left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=work.seconds, count="")

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Display one event."""
        match event:
            case Fitted(method, identity, seconds):
                self._progress.update(self._task, advance=self._work.of_fit(method))
                self._print(f"{method}/{identity}: fitted in {seconds:.1f} s")
            case Generated(cell):
                self._made(cell)
            case Skipped(cell):
                self._name_group(f"{cell.method}/{cell.identity}")
            case Failed(cell, reason):
                self._made(cell)
                # The table counts failures; here a reason is printed once per group.
                group = f"{cell.method}/{cell.identity}"
                if (group, reason) not in self._reasons:
                    self._reasons.add((group, reason))
                    self._console.print(printable(f"{cell.id}: {reason}"), style="red", **PLAIN)

    def start_scoring(self, steps: int) -> None:
        """Continue with scoring, of about `steps` calls of `scoring`."""
        if self._work.scoring_seconds:
            done = self._work.seconds - self._work.scoring_seconds
            self._progress.update(self._task, completed=done)
        else:
            self._progress.reset(self._task, total=float(steps))
        self._scoring_step = (self._work.scoring_seconds or steps) / max(1, steps)

    def scoring(self, line: str) -> None:
        """Display the row and metric that are scored next."""
        text = escape(printable(f"scoring {line}"))
        self._progress.update(self._task, advance=self._scoring_step, description=text, count="")

    def _made(self, cell: Cell) -> None:
        self._images += 1
        group = f"{cell.method}/{cell.identity}"
        count = f"{self._images}/{sum(self._work.images.values())}"
        seconds = self._work.of_image(cell.method)
        self._progress.update(self._task, advance=seconds, description=escape(printable(group)), count=count)
        self._name_group(group)

    def _name_group(self, group: str) -> None:
        if group not in self._groups:
            self._groups.add(group)
            self._print(group)

    def _print(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(printable(line), **PLAIN)


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
