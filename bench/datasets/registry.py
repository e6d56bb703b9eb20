"""Registry of datasets; opens the identities that a suite's `[dataset]` selects."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from bench.datasets.celeba.dataset import CelebA
from bench.datasets.dreambench import DreamBench
from bench.datasets.folder import FolderPeople
from bench.datasets.openpeople import OpenPeople
from bench.datasets.rendered import RenderedPeople
from bench.errors import DatasetError, SuiteError, nearest
from bench.subjects.identity import Identity, PhotoFile, shuffled
from bench.suite.suite import DatasetSettings


@dataclass(frozen=True)
class People:
    """The identities and photographs that a suite uses of a dataset."""

    chosen: tuple[Identity, ...]
    others: tuple[PhotoFile, ...]
    """Photographs of unselected identities: given to no method, used as real images by set metrics."""
    remarks: tuple[str, ...] = ()
    """Irregularities of the dataset, such as missing photographs or unused files."""


class Dataset(Protocol):
    """Source of identities, called by `open_people`. A new dataset is one file in `bench/datasets/`."""

    def names(self) -> list[str]:
        """Ids of all usable identities, sorted."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """Irregularities that do not prevent a run, one line each, with counts."""
        ...

    def identity(self, name: str) -> Identity:
        """One identity, split into references and held-out photographs."""
        ...

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All photographs of one identity."""
        ...


def open_people(settings: DatasetSettings, base: Path) -> People:
    """Open the identities that a suite selects, sorted by id. Relative paths start at `base`."""
    dataset = open_dataset(settings, base)
    names = dataset.names()
    chosen = choose(names, settings)
    people = (dataset.identity(name) for name in chosen)
    # A dataset without partitions has one origin.
    identities = tuple(replace(who, origin=who.origin or settings.kind) for who in people)
    return People(identities, tuple(others_of(dataset, chosen, settings)), dataset.remarks)


def choose(names: Sequence[str], settings: DatasetSettings) -> list[str]:
    """Sample identities with the seed, sorted. Raises SuiteError if there are too few."""
    if settings.identities is not None and settings.identities > len(names):
        raise SuiteError(f"dataset: identities = {settings.identities}, {settings.kind} has {len(names)}")
    return sorted(shuffled(names, settings.seed, "identities")[: settings.identities])


def open_dataset(settings: DatasetSettings, base: Path) -> Dataset:
    """Open the dataset named by `settings.kind`."""
    if settings.kind not in DATASETS:
        raise SuiteError(f"dataset: unknown kind {settings.kind!r}; {nearest(settings.kind, DATASETS)}")
    return DATASETS[settings.kind][0](settings, base)


def _raise(error: DatasetError) -> None:
    raise error


def others_of(
    dataset: Dataset,
    chosen: Collection[str],
    settings: DatasetSettings,
    refuse: Callable[[DatasetError], None] = _raise,
) -> list[PhotoFile]:
    """At most `settings.others` photographs of identities that are not chosen, sampled with the seed, sorted
    by file name; `refuse` is called with the error of an unusable identity."""
    names = sorted(set(dataset.names()).difference(chosen))
    photos: list[PhotoFile] = []
    for name in shuffled(names, settings.seed, "others"):
        if len(photos) >= settings.others:
            break
        try:
            photos += dataset.photos(name)
        except DatasetError as error:
            refuse(error)
    return sorted(photos[: settings.others], key=lambda photo: photo.name)


DATASETS: Final[Mapping[str, tuple[Callable[[DatasetSettings, Path], Dataset], str]]] = {
    "rendered": (
        RenderedPeople,
        "rendered people, 64 px, with attributes: 32 that ship, or the output of `bench train people` (path)",
    ),
    "openpeople": (
        OpenPeople,
        "ten photorealistic synthetic people of the PyPI package, 21 captioned face photographs each",
    ),
    "celeba": (
        CelebA,
        "CelebA (path), with text or CSV annotations, complete or partial: captions from the 40 attributes",
    ),
    "folder": (
        FolderPeople,
        "custom photographs (path): one directory per identity, captions next to the images",
    ),
    "dreambench": (
        DreamBench,
        "a clone of google/dreambooth (path): 30 objects and animals, with their classes and prompts",
    ),
}
