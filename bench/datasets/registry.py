"""The table of datasets, and the one place where a suite's `[dataset]` becomes people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from bench.datasets.celeba.dataset import CelebA
from bench.datasets.dreambench import DreamBench
from bench.datasets.folder import FolderPeople
from bench.datasets.openpeople import OpenPeople
from bench.datasets.rendered import RenderedPeople
from bench.errors import SuiteError, nearest
from bench.subjects.identity import Identity, PhotoFile, shuffled
from bench.suite.suite import DatasetSettings


@dataclass(frozen=True)
class People:
    """What a suite takes from a dataset."""

    chosen: tuple[Identity, ...]
    others: tuple[PhotoFile, ...]
    """Photographs of everybody else in the dataset: no method sees them; the real side of set metrics."""
    remarks: tuple[str, ...] = ()
    """What the dataset noticed about itself: photographs that are missing, files nobody asked for."""


class Dataset(Protocol):
    """Where identities come from. `open_people` calls it; a new one is one file in `bench/datasets/`."""

    def names(self) -> list[str]:
        """Ids of all identities that can be used, sorted."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is missing or strange and still no reason to stop, a line each, with counts."""
        ...

    def identity(self, name: str) -> Identity:
        """One identity, split into references and held-out photographs."""
        ...

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All photographs of one identity."""
        ...


def open_people(settings: DatasetSettings, base: Path) -> People:
    """The identities a suite asks for, sorted by id. Relative paths start at `base`."""
    dataset = open_dataset(settings, base)
    names = dataset.names()
    chosen = choose(names, settings)
    people = (dataset.identity(name) for name in chosen)
    # A dataset that says nothing of its parts is all of one origin.
    named = tuple(replace(who, origin=who.origin or settings.kind) for who in people)
    rest = sorted(set(names).difference(chosen))
    return People(named, tuple(_others(dataset, rest, settings)), dataset.remarks)


def choose(names: Sequence[str], settings: DatasetSettings) -> list[str]:
    """The identities that the seed draws, sorted. Raises SuiteError where too many are asked for."""
    if settings.identities is not None and settings.identities > len(names):
        raise SuiteError(f"dataset: identities = {settings.identities}, {settings.kind} holds {len(names)}")
    return sorted(shuffled(names, settings.seed, "identities")[: settings.identities])


def open_dataset(settings: DatasetSettings, base: Path) -> Dataset:
    """The dataset that `settings.kind` names."""
    if settings.kind not in DATASETS:
        raise SuiteError(f"dataset: unknown kind {settings.kind!r}; {nearest(settings.kind, DATASETS)}")
    return DATASETS[settings.kind][0](settings, base)


def _others(dataset: Dataset, names: Sequence[str], settings: DatasetSettings) -> Iterator[PhotoFile]:
    """So many photographs of people that the seed draws among those left over."""
    mixed = shuffled(names, settings.seed, "others")
    photos = (photo for name in mixed for photo in dataset.photos(name))
    return iter(sorted(islice(photos, settings.others), key=lambda photo: photo.name))


DATASETS: Final[Mapping[str, tuple[Callable[[DatasetSettings, Path], Dataset], str]]] = {
    "rendered": (
        RenderedPeople,
        "rendered people, 64 px, attributes known: 32 that ship, or as many as `bench train people` renders",
    ),
    "openpeople": (
        OpenPeople,
        "ten photorealistic synthetic persons of the PyPI package, 21 captioned face photographs each",
    ),
    "celeba": (
        CelebA,
        "CelebA in its official layout (path): captions from the 40 attributes, partial copies work",
    ),
    "folder": (FolderPeople, "your own (path): one directory per identity, captions beside the pictures"),
    "dreambench": (
        DreamBench,
        "a clone of google/dreambooth (path): 30 things and animals, with their classes and prompts",
    ),
}
