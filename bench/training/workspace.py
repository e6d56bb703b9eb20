"""What the `bench train` commands share: where things lie, and how progress shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.errors import DatasetError
from bench.progress import Report
from bench.suite.suite import DatasetSettings
from bench.training.dataset import open_training_split
from methods.backbone.spec import EMBEDDED
from methods.errors import MethodError

ROOT: Final = Path.home() / ".cache" / "personabench"
PACKAGE: Final = Path(__file__).parents[2]
WEIGHTS: Final = PACKAGE / "methods" / "weights"
ENCODERS: Final = PACKAGE / "metrics" / "weights"

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")
"""Of a forward pass, as methods.pretraining.loop knows them; its own type needs torch."""


@dataclass(frozen=True)
class TrainingPaths:
    """The folders of one training."""

    data: Path
    """Holds `train`, `validation` and `test`, as `bench train people` writes them."""
    checkpoints: Path
    out: Path
    """Receives the finished networks."""
    start: Path | None = None
    """The checkpoints of an earlier making, whose finished networks go on learning."""

    def photos(self, split: str) -> Any:
        """The photographs of one split; raises DatasetError where they have not been rendered."""
        from bench.training.rendered import RenderedTrainingSet

        folder = self.data / split
        if not (folder / "photos.npy").exists():
            raise DatasetError(
                f"{folder}: no photos.npy; render it with `bench train people --data {self.data}`"
            )
        return RenderedTrainingSet.open(folder)

    def workshop(self, device: str, report: Report, *, unseen: str = "test") -> Any:
        """The same for the trainers of the embedded world; `unseen` is the split that judges."""
        from methods.recipes.workspace import TrainingWorkspace

        if self.start is not None and self.start.resolve() == self.checkpoints.resolve():
            raise MethodError(f"--start {self.start}: is --checkpoints as well; give the new ones a folder")
        return TrainingWorkspace(
            self.photos("train"),
            self.photos(unseen),
            self.out,
            self.checkpoints,
            resolve(device),
            report,
            self.start,
        )


@dataclass(frozen=True)
class DatasetOptions:
    """`--dataset` and what belongs to it: photographs of one's own instead of the rendered ones."""

    dataset: str | None
    root: Path | None
    people: int | None
    side: int | None

    def workshop(self, place: TrainingPaths, base: str, device: str, report: Report, *, unseen: str) -> Any:
        """A workshop, and whose photographs are learnt from; the rendered ones where no dataset is named.

        Weights and checkpoints get a folder for the dataset, lest they overwrite or resume another's.
        """
        from methods.recipes.adapters import RENDERED, TrainingSource
        from methods.recipes.workspace import TrainingWorkspace

        if self.dataset is None:
            return place.workshop(device, report, unseen=unseen), RENDERED
        path = "" if self.root is None else str(self.root)
        settings = DatasetSettings(self.dataset, path, self.people)
        lesson = open_training_split(settings, Path(), self.side or (64 if base == EMBEDDED else 512))
        out = ROOT / "adapters" / lesson.name if place.out == WEIGHTS else place.out
        work = place.checkpoints / f"{lesson.name}-{lesson.data.digest}"
        workspace = TrainingWorkspace(lesson.data, lesson.unseen, out, work, resolve(device), report)
        return workspace, TrainingSource(lesson.name, lesson.where)


def resolve(device: str) -> Any:
    """The torch device that `auto`, `cpu` or `cuda` means here."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise MethodError("--device cuda: this torch finds no CUDA device; use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def shortened(schedule: Any, steps: int | None, batch: int | None, learning_rate: float | None = None) -> Any:
    """The trainer's own schedule with the numbers that were given."""
    from dataclasses import replace

    for name, value in (("steps", steps), ("batch", batch)):
        if value is not None and value < 1:
            raise MethodError(f"--{name} {value}: wanted at least 1")
    if learning_rate is not None and not learning_rate > 0:
        raise MethodError(f"--learning-rate {learning_rate}: wanted a number above 0")
    given = {"steps": steps, "batch": batch, "learning_rate": learning_rate}
    return replace(schedule, **{name: value for name, value in given.items() if value is not None})


def parted(schedule: Any, accumulate: int, precision: str) -> Any:
    """The schedule in pieces of a batch, and with the forward pass in this precision."""
    from dataclasses import replace

    if accumulate < 1:
        raise MethodError(f"--accumulate {accumulate}: wanted at least 1")
    if precision not in PRECISIONS:
        raise MethodError(f"--precision {precision}: known are {', '.join(PRECISIONS)}")
    return replace(schedule, accumulate=accumulate, precision=precision)
