"""A dataset as the adapters' trainers want it: photographs opened when asked for, captions, people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.Image import Resampling

from bench.datasets.folder import HELD_OUT
from bench.datasets.registry import choose, open_dataset
from bench.errors import DatasetError
from bench.runs.fingerprint import digest_of
from bench.subjects.identity import PhotoFile, shuffled
from bench.suite.prompts import SLOT
from bench.suite.suite import DatasetSettings
from methods.subject import Subject

KEPT: Final = 0.8
"""How often each clause of a caption is said."""
UNSEEN: Final = 10
"""One person in so many is set aside to judge by, where a dataset has no partition for that."""
# A fragment between commas that begins otherwise may be the rest of a list, and stays with what precedes it.
OPENS: Final = re.compile(r"(\w+ing|\w{2,}ed|with|in|on|at|under|by|near|beside|behind|seen)\b")


@dataclass(frozen=True)
class Example:
    """One photograph of one person."""

    photo: PhotoFile
    person: int
    noun: str


class Pictures:
    """Photographs as an array N x side x side x 3 of which only the rows asked for are ever opened."""

    dtype = np.dtype(np.uint8)

    def __init__(self, photos: Sequence[PhotoFile], side: int) -> None:
        self._photos = photos
        self.shape = (len(photos), side, side, 3)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        """The middle squares of these rows, scaled."""
        side = self.shape[1]
        chosen = self._photos[rows]
        opened = np.empty((len(chosen), side, side, 3), np.uint8)
        for place, photo in enumerate(chosen):
            opened[place] = np.asarray(ImageOps.fit(photo.load(), (side, side), Resampling.LANCZOS))
        return opened


class DatasetTrainingSet:
    """Implements `methods.pretraining.dataset.TrainingSet` over some people of a dataset."""

    def __init__(self, examples: Sequence[Example], side: int) -> None:
        self.examples = examples
        self._pictures = Pictures([example.photo for example in examples], side)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Slices of rows are all that the adapters' trainers ask for."""
        return self._pictures  # type: ignore[return-value]  # reads like an array, row by row

    @cached_property
    def identities(self) -> NDArray[np.int64]:
        return np.array([example.person for example in self.examples], np.int64)

    @property
    def descriptions(self) -> None:
        """Nobody has measured real people."""

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        phrase = Subject("", self.noun(row), ()).phrase
        said = [part for part in clauses(self.template(row, mirrored=mirrored)) if _stays(part, rng)]
        return ", ".join(said).replace(SLOT, phrase)

    def template(self, row: int, *, mirrored: bool) -> str:
        caption = self.examples[row].photo.caption
        return turned(caption) if mirrored else caption

    def noun(self, row: int) -> str:
        return self.examples[row].noun

    @property
    def digest(self) -> str:
        """Of whose photographs these are, under which captions."""
        rows = [(e.photo.name, e.photo.caption, e.person, e.noun) for e in self.examples]
        return digest_of({"examples": rows, "side": self._pictures.shape[1]})


@dataclass(frozen=True)
class TrainingSplit:
    """What an adapter learns from, and the people that it never sees."""

    name: str
    """In the leak ledger: `celeba-train`, `folder-people`."""
    where: str
    """How a command names the dataset."""
    data: DatasetTrainingSet
    unseen: DatasetTrainingSet


def open_training_split(settings: DatasetSettings, base: Path, side: int) -> TrainingSplit:
    """Everybody of the dataset, or as many people as `identities` says; raises DatasetError.

    CelebA's `train` partition is learnt from and `valid` judges; elsewhere the seed sets a tenth of the
    people aside. Photographs in a `heldout/` directory take no part: they are for judging methods.
    """
    settings = replace(settings, references=0, held_out=None)
    where = f" --dataset {settings.kind}" + (f" --root {settings.path}" if settings.path else "")
    if settings.kind == "celeba":
        face_metric_pairs = settings.identities and max(1, settings.identities // UNSEEN)
        name, seen = _examples(replace(settings, partition="train"), base)
        _, unseen = _examples(replace(settings, partition="valid", identities=face_metric_pairs), base)
    else:
        names = choose(open_dataset(settings, base).names(), settings)
        if len(names) < 2:
            raise DatasetError(f"{settings.kind}: {len(names)} identities; wanted are 2, one to judge by")
        mixed = shuffled(names, settings.seed, "unseen")
        aside = max(1, len(names) // UNSEEN)
        name, seen = _examples(settings, base, sorted(mixed[aside:]))
        _, unseen = _examples(settings, base, sorted(mixed[:aside]))
    return TrainingSplit(name, where, DatasetTrainingSet(seen, side), DatasetTrainingSet(unseen, side))


def _examples(
    settings: DatasetSettings, base: Path, names: Sequence[str] | None = None
) -> tuple[str, list[Example]]:
    """The origin and all photographs of these people; of those that the seed draws without names."""
    dataset = open_dataset(settings, base)
    found, origin = [], settings.kind
    for person, name in enumerate(choose(dataset.names(), settings) if names is None else names):
        who = dataset.identity(name)
        origin = who.origin or origin
        found += [
            Example(photo, person, who.noun)
            for photo in dataset.photos(name)
            if photo.path.parent.name != HELD_OUT
        ]
    return origin, found


def clauses(caption: str) -> list[str]:
    """The parts of a caption that can be left out one by one; the first keeps what has no clear beginning."""
    parts: list[str] = []
    for fragment in caption.split(", "):
        if parts and not OPENS.match(fragment):
            parts[-1] += f", {fragment}"
        else:
            parts.append(fragment)
    return parts


def turned(caption: str) -> str:
    """The caption of the mirror image."""
    other = {"left": "right", "right": "left"}
    return re.sub(r"\b(left|right)\b", lambda found: other[found[0]], caption)


def _stays(part: str, rng: np.random.Generator) -> bool:
    return bool(rng.random() < KEPT) or SLOT in part
