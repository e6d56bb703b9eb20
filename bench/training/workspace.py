"""Folders, data and device of a training, checked and opened."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from bench.errors import DatasetError
from bench.progress import Report, notice
from bench.suite.suite import DatasetSettings
from bench.suite.toml_schema import read_table
from bench.training.dataset import open_training_split
from bench.training.options import DatasetOptions
from methods.backbone.spec import SHIPPED_BACKBONES
from methods.errors import MethodError

if TYPE_CHECKING:
    from bench.training.rendered import RenderedTrainingSet
    from methods.recipes.adapters import TrainingSource
    from methods.recipes.workspace import TrainingWorkspace

# `Path.home` raises an error for a user without a home folder.
ROOT: Final = Path(os.path.expanduser("~/.cache/personabench"))  # noqa: PTH111
PEOPLE: Final = ROOT / "people"
CHECKPOINTS: Final = ROOT / "checkpoints"
PACKAGE: Final = Path(__file__).parents[2]
WEIGHTS: Final = PACKAGE / "methods" / "weights"
ENCODERS: Final = PACKAGE / "metrics" / "weights"


@dataclass(frozen=True)
class TrainingPaths:
    """The folders of a training."""

    data: Annotated[Path, typer.Option(help="Folder of the rendered photographs.")] = PEOPLE
    """Contains `train`, `validation` and `test`, as written by `bench train people`."""
    checkpoints: Annotated[Path, typer.Option(help="Folder of checkpoints and caches.")] = CHECKPOINTS
    out: Annotated[Path, typer.Option(help="Output folder of the weights.")] = WEIGHTS

    def photos(self, split: str) -> "RenderedTrainingSet":
        """The photographs of one split; raises DatasetError if they have not been rendered."""
        from bench.training.rendered import RenderedTrainingSet

        folder = self.data / split
        if not (folder / "photos.npy").exists():
            raise DatasetError(
                f"{folder}: no photos.npy; render it with `bench train people --data {self.data}`"
            )
        return RenderedTrainingSet.open(folder)


def rendered_workspace(
    paths: TrainingPaths, device: str, report: Report, *, unseen: str = "test", start: Path | None = None
) -> "TrainingWorkspace":
    """Train on the rendered people and evaluate on the split `unseen`.

    `start` is the checkpoint folder of an earlier training; MethodError if it is `paths.checkpoints` too.
    """
    from methods.recipes.workspace import TrainingWorkspace

    if start is not None and start.resolve() == paths.checkpoints.resolve():
        raise MethodError(f"--start {start}: is also --checkpoints; choose another folder for the new ones")
    return TrainingWorkspace(
        paths.photos("train"),
        paths.photos(unseen),
        paths.out,
        paths.checkpoints,
        torch_device(device),
        report,
        start,
    )


def adapter_workspace(
    paths: TrainingPaths, options: DatasetOptions, base: str, device: str, report: Report
) -> "tuple[TrainingWorkspace, TrainingSource]":
    """Train on a dataset, or on the rendered people if none is named.

    A dataset has its own folders of weights and checkpoints, so that trainings on different datasets do not
    overwrite or resume each other's files.
    """
    from methods.recipes.adapters import RENDERED, TrainingSource
    from methods.recipes.workspace import TrainingWorkspace

    if options.dataset is None:
        return rendered_workspace(paths, device, report, unseen="validation"), RENDERED
    path = "" if options.root is None else str(options.root)
    table = {"kind": options.dataset, "path": path, "pictures": options.pictures}
    settings = replace(read_table(table, DatasetSettings, "bench train"), identities=options.people)
    side = options.side or (64 if base in SHIPPED_BACKBONES else 512)
    split = open_training_split(settings, Path(), side)
    for line in split.remarks:
        notice(f"dataset: {line}")
    out = ROOT / "adapters" / split.name if paths.out == WEIGHTS else paths.out
    checkpoints = paths.checkpoints / f"{split.name}-{split.data.digest}"
    workspace = TrainingWorkspace(split.data, split.unseen, out, checkpoints, torch_device(device), report)
    return workspace, TrainingSource(split.name)


def torch_device(name: str) -> Any:
    """The torch device for `auto`, `cpu` or `cuda`; raises MethodError if there is no CUDA device."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise MethodError("--device cuda: this torch finds no CUDA device; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
