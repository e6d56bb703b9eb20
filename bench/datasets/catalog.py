"""The table of datasets, and the one place where a suite's `[dataset]` becomes people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bench.datasets.folder import FolderPeople
from bench.datasets.rendered import RenderedPeople
from bench.errors import SuiteError, nearest
from bench.identities import Identity, PhotoFile, shuffled
from bench.suite import DatasetSettings


@dataclass(frozen=True)
class People:
    """What a suite takes from a dataset."""

    chosen: tuple[Identity, ...]
    others: tuple[PhotoFile, ...]
    """Photographs of everybody else in the dataset: no method sees them; the real side of set metrics."""


class Dataset(Protocol):
    """Where identities come from. `open_people` calls it; a new one is one file in `bench/datasets/`."""

    def names(self) -> list[str]:
        """Ids of all identities, sorted."""
        ...

    def identity(self, name: str) -> Identity:
        """One identity, split into references and held-out photographs."""
        ...

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All photographs of one identity."""
        ...


def open_people(settings: DatasetSettings, base: Path) -> People:
    """The identities a suite asks for, sorted by id. Relative paths start at `base`."""
    dataset = _dataset(settings, base)
    names = dataset.names()
    if settings.identities is not None and settings.identities > len(names):
        raise SuiteError(f"dataset: identities = {settings.identities}, {settings.kind} holds {len(names)}")
    chosen = sorted(shuffled(names, settings.seed, "identities")[: settings.identities])
    others = tuple(photo for name in names if name not in chosen for photo in dataset.photos(name))
    return People(tuple(dataset.identity(name) for name in chosen), others)


DATASETS: Final[Mapping[str, tuple[Callable[[DatasetSettings, Path], Dataset], str]]] = {
    "rendered": (
        RenderedPeople.shipped,
        "rendered people that ship with the package: 64 px, captioned, attributes known",
    ),
    "folder": (FolderPeople, "your own: one directory per identity, captions beside the pictures"),
}


def _dataset(settings: DatasetSettings, base: Path) -> Dataset:
    if settings.kind not in DATASETS:
        raise SuiteError(f"dataset: unknown kind {settings.kind!r}; {nearest(settings.kind, DATASETS)}")
    return DATASETS[settings.kind][0](settings, base)
