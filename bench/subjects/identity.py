"""Identities: whose photographs a method sees, and which others it is judged by."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL.Image import Image

from bench.errors import DatasetError, SuiteError
from bench.subjects.corruptions import CORRUPTIONS
from bench.subjects.image_files import Part, content_of, load_photo
from bench.subjects.near_duplicates import near_copies, signature_of
from bench.suite.prompts import SLOT, Prompt, prior, recaption
from bench.suite.suite import DatasetSettings
from methods.subject import Photo, Subject

T = TypeVar("T")


@dataclass(frozen=True)
class PhotoFile:
    """A captioned photograph on disk."""

    path: Path
    caption: str
    """A sentence with the slot `{subject}`."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes, where the dataset knows them."""
    part: Part | None = None
    """Which part of the file is the photograph; None is all of it."""
    corruption: str = ""
    """A name of `SPOILS`: the photograph is shown so; empty as it is."""

    @property
    def name(self) -> str:
        """The file, and the part of it."""
        return f"{self.path}" if self.part is None else f"{self.path} {self.part}"

    def load(self) -> Image:
        """Upright RGB."""
        photo = load_photo(self.path, self.part)
        return CORRUPTIONS[self.corruption](photo) if self.corruption else photo

    def content(self) -> bytes:
        """The bytes that a digest of the photograph is taken of."""
        return content_of(self.path, self.part) + self.corruption.encode()


@dataclass(frozen=True)
class Identity:
    """One person (or other subject) of a dataset."""

    id: str
    noun: str
    references: tuple[PhotoFile, ...]
    held_out: tuple[PhotoFile, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What belongs to the person, where the dataset knows it: `age`, `skin`."""
    origin: str = ""
    """The dataset and its part, for the leak ledger: `rendered-people-test`, `celeba-train`."""
    person: bool = True
    """Whether it is somebody with a face: of anything else the face metrics say nothing."""
    own_prompts: tuple[Prompt, ...] = ()
    """Prompts that come with the dataset, where the suite asks for them."""

    @property
    def subject(self) -> Subject:
        """What a method may know: the references alone."""
        photos = tuple(Photo(photo.load(), photo.caption) for photo in self.references)
        return Subject(self.id, self.noun, photos)

    @property
    def phrase(self) -> str:
        """The plain noun phrase, `a man`."""
        return Subject(self.id, self.noun, ()).phrase

    @property
    def prior(self) -> Prompt:
        """The prompt for somebody else of this noun."""
        return prior(self.phrase)

    def recaptions(self, count: int) -> tuple[Prompt, ...]:
        """The captions of the first held-out photographs, as prompts."""
        if count > len(self.held_out):
            raise SuiteError(
                f"prompts: recaptions = {count}, {self.id} has {len(self.held_out)} held-out photos"
            )
        return tuple(
            recaption(number, photo.caption, photo.attributes)
            for number, photo in enumerate(self.held_out[:count], start=1)
        )

    def check(self) -> list[str]:
        """Open every photograph once, before hours of work depend on them; near copies across the split.

        Raises DatasetError where one cannot be opened, or is a reference and held out.
        """
        seen = [signature_of(photo.name, photo.load()) for photo in self.references]
        return near_copies(self.id, seen, [signature_of(photo.name, photo.load()) for photo in self.held_out])


def shuffled(items: Sequence[T], seed: int, name: str) -> list[T]:
    """The items in an order that only the seed and the name decide, on every machine."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    mixed = list(items)
    random.Random(int.from_bytes(digest[:8], "big")).shuffle(mixed)
    return mixed


def split(
    id: str, photos: Sequence[PhotoFile], settings: DatasetSettings
) -> tuple[list[PhotoFile], list[PhotoFile]]:
    """References and held-out photographs, drawn by the seed."""
    mixed = shuffled(photos, settings.seed, id)
    references, rest = mixed[: settings.references], mixed[settings.references :]
    if len(photos) < settings.split_needs:
        raise DatasetError(
            f"{id}: {len(photos)} photos, {settings.references} references and "
            f"{settings.held_out or 'at least 1'} held-out ones need {settings.split_needs}"
        )
    return references, rest[: settings.held_out]


def checked_caption(caption: str, where: str, phrase: str) -> str:
    """The caption with its slot; a plain noun phrase is taken for the slot."""
    text = " ".join(caption.split())
    if text.count(SLOT) == 1:
        return text
    if SLOT not in text and text.count(phrase) == 1:
        return text.replace(phrase, SLOT)
    raise DatasetError(f"{where}: the caption {text!r} must hold {SLOT} (or {phrase!r}) once")
