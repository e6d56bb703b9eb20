"""A dataset as the adapter trainers read it: images loaded on access, captions, people."""

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

from bench.datasets.folder import is_held_out_folder
from bench.datasets.registry import choose, open_dataset
from bench.errors import DatasetError
from bench.runs.fingerprint import digest_of
from bench.subjects.identity import PhotoFile, shuffled
from bench.suite.prompts import SLOT
from bench.suite.suite import DatasetSettings
from methods.subject import Subject

CLAUSE_PROBABILITY: Final = 0.8
"""Probability that a caption keeps a clause."""
PEOPLE_PER_UNSEEN: Final = 10
"""One person in this many is held out for validation, where a dataset has no validation partition."""
# A fragment between commas that does not begin like this may continue a list; it stays with the previous one.
CLAUSE_START: Final = re.compile(r"(\w+ing|\w{2,}ed|with|in|on|at|under|by|near|beside|behind|seen)\b")


@dataclass(frozen=True)
class Example:
    """One photograph of one person."""

    photo: PhotoFile
    person: int
    noun: str


class LazyImages:
    """Photographs as an array N x side x side x 3, uint8, that opens files when rows are read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, photos: Sequence[PhotoFile], side: int) -> None:
        self._photos = photos
        self.shape = (len(photos), side, side, 3)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        """The central squares of these rows, resized."""
        side = self.shape[1]
        photos = self._photos[rows]
        images = np.empty((len(photos), side, side, 3), np.uint8)
        for index, photo in enumerate(photos):
            images[index] = np.asarray(ImageOps.fit(photo.load(), (side, side), Resampling.LANCZOS))
        return images


class DatasetTrainingSet:
    """Implements `methods.pretraining.dataset.TrainingSet` for some people of a dataset."""

    def __init__(self, examples: Sequence[Example], side: int) -> None:
        self.examples = examples
        self._images = LazyImages([example.photo for example in examples], side)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Supports only the length and slices of rows, which is all that adapter trainers use."""
        return self._images  # type: ignore[return-value]  # reads like an array, row by row

    @cached_property
    def identities(self) -> NDArray[np.int64]:
        return np.array([example.person for example in self.examples], np.int64)

    @property
    def descriptions(self) -> None:
        """Datasets of photographs have no numeric attributes."""

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        phrase = Subject("", self.noun(row), ()).phrase
        kept = [part for part in clauses(self.template(row, mirrored=mirrored)) if _keeps(part, rng)]
        return ", ".join(kept).replace(SLOT, phrase)

    def template(self, row: int, *, mirrored: bool) -> str:
        caption = self.examples[row].photo.caption
        return mirrored_caption(caption) if mirrored else caption

    def noun(self, row: int) -> str:
        return self.examples[row].noun

    def original_size(self, row: int) -> tuple[int, int]:
        photo = self.examples[row].photo.load()
        return photo.height, photo.width

    @cached_property
    def content_key(self) -> str:
        """Changes with a photograph's file name, size or time, and with captions, people, image size."""
        stats = [example.photo.path.stat() for example in self.examples]
        files = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        return digest_of({"examples": self.digest, "files": files})

    @property
    def digest(self) -> str:
        """Of photographs, captions, people and image size."""
        rows = [(e.photo.name, e.photo.caption, e.person, e.noun) for e in self.examples]
        return digest_of({"examples": rows, "side": self._images.shape[1]})


@dataclass(frozen=True)
class TrainingSplit:
    """Training people, and validation people that are not among them."""

    name: str
    """As in the training overlap: `celeba-train`, `folder-people`."""
    data: DatasetTrainingSet
    unseen: DatasetTrainingSet
    remarks: tuple[str, ...] = ()
    """Irregularities of the dataset, such as missing annotations."""


def open_training_split(settings: DatasetSettings, base: Path, side: int) -> TrainingSplit:
    """All people of the dataset, or `settings.identities` of them; raises DatasetError.

    CelebA is trained on its `train` partition and validated on `valid`. Elsewhere the seed holds out a tenth
    of the people. Photographs in a `heldout/` directory are excluded: they are for the evaluation of methods.
    """
    settings = replace(settings, references=0, held_out=None)
    if settings.kind == "celeba":
        unseen_people = settings.identities and max(1, settings.identities // PEOPLE_PER_UNSEEN)
        train = replace(settings, partition="train")
        name, seen = _examples(train, base)
        remarks = open_dataset(train, base).remarks
        _, unseen = _examples(replace(settings, partition="valid", identities=unseen_people), base)
    else:
        dataset = open_dataset(settings, base)
        names, remarks = choose(dataset.names(), settings), dataset.remarks
        if len(names) < 2:
            raise DatasetError(f"{settings.kind}: {len(names)} identities; expected at least 2, one unseen")
        mixed = shuffled(names, settings.seed, "unseen")
        count = max(1, len(names) // PEOPLE_PER_UNSEEN)
        name, seen = _examples(settings, base, sorted(mixed[count:]))
        _, unseen = _examples(settings, base, sorted(mixed[:count]))
    return TrainingSplit(name, DatasetTrainingSet(seen, side), DatasetTrainingSet(unseen, side), remarks)


def _examples(
    settings: DatasetSettings, base: Path, names: Sequence[str] | None = None
) -> tuple[str, list[Example]]:
    """The origins, joined by commas, and all photographs of these people; without names, of those sampled."""
    dataset = open_dataset(settings, base)
    found, origins = [], set[str]()
    for person, name in enumerate(choose(dataset.names(), settings) if names is None else names):
        identity = dataset.identity(name)
        origins.add(identity.origin or settings.kind)
        found += [
            Example(photo, person, identity.noun)
            for photo in dataset.photos(name)
            if not is_held_out_folder(photo.path.parent.name)
        ]
    return ", ".join(sorted(origins)), found


def clauses(caption: str) -> list[str]:
    """The parts of a caption that can be dropped individually; the first one keeps unclear fragments."""
    parts: list[str] = []
    for fragment in caption.split(", "):
        if parts and not CLAUSE_START.match(fragment):
            parts[-1] += f", {fragment}"
        else:
            parts.append(fragment)
    return parts


def mirrored_caption(caption: str) -> str:
    """The caption of the mirror image: `left` and `right` exchanged."""
    other = {"left": "right", "right": "left"}
    return re.sub(r"\b(left|right)\b", lambda match: other[match[0]], caption)


def _keeps(part: str, rng: np.random.Generator) -> bool:
    return bool(rng.random() < CLAUSE_PROBABILITY) or SLOT in part
