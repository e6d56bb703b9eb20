"""What the `bench train` commands share: where things lie, and how progress shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.errors import DatasetError
from methods.interface import MethodError

ROOT: Final = Path.home() / ".cache" / "personabench"
PACKAGE: Final = Path(__file__).parent.parent
WEIGHTS: Final = PACKAGE / "methods" / "weights"
ENCODERS: Final = PACKAGE / "metrics" / "weights"

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Place:
    """The folders of one training."""

    data: Path
    """Holds `train`, `validation` and `test`, as `bench train people` writes them."""
    checkpoints: Path
    out: Path
    """Receives the finished networks."""

    def photos(self, split: str) -> Any:
        """The photographs of one split; raises DatasetError where they have not been rendered."""
        from bench.people.training import RenderedTrainingSet

        folder = self.data / split
        if not (folder / "photos.npy").exists():
            raise DatasetError(
                f"{folder}: no photos.npy; render it with `bench train people --data {self.data}`"
            )
        return RenderedTrainingSet.open(folder)

    def workshop(self, device: str, report: Report) -> Any:
        """The same for the trainers of the embedded world."""
        from methods.embedded.recipe import Workshop

        return Workshop(
            self.photos("train"), self.photos("test"), self.out, self.checkpoints, resolve(device), report
        )


def resolve(device: str) -> Any:
    """The torch device that `auto`, `cpu` or `cuda` means here."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise MethodError("--device cuda: this torch finds no CUDA device; use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def shortened(schedule: Any, steps: int | None, batch: int | None) -> Any:
    """The trainer's own schedule with the numbers that were given."""
    from dataclasses import replace

    given = {"steps": steps, "batch": batch}
    for name, value in given.items():
        if value is not None and value < 1:
            raise MethodError(f"--{name} {value}: wanted at least 1")
    return replace(schedule, **{name: value for name, value in given.items() if value is not None})


@contextmanager
def reporting(title: str) -> Iterator[Report]:
    """A bar with the time left on a terminal's stderr; elsewhere a line now and then."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, note="")
        said = -1

        def report(done: int, total: int, note: str) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total, note=note)
            share = 20 * done // max(1, total)
            if not console.is_terminal and share != said:
                console.print(f"{title}: {done} of {total}, {note}", markup=False, highlight=False)
            said = share

        yield report
