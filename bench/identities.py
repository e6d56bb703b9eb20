"""Identities: whose photographs a method sees, and which others it is judged by."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL.Image import Image

from bench.errors import DatasetError, SuiteError
from bench.photos import load_photo, refuse_twins
from bench.prompts import SLOT, PromptCard, recaption
from bench.suite import DatasetSettings
from methods.interface import Photo, Subject

T = TypeVar("T")


@dataclass(frozen=True)
class PhotoFile:
    """A captioned photograph on disk."""

    path: Path
    caption: str
    """A sentence with the slot `{subject}`."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes, where the dataset knows them."""

    def load(self) -> Image:
        """Upright RGB."""
        return load_photo(self.path)


@dataclass(frozen=True)
class Identity:
    """One person (or other subject) of a dataset."""

    id: str
    noun: str
    references: tuple[PhotoFile, ...]
    held_out: tuple[PhotoFile, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> Subject:
        """What a method may know: the references alone."""
        photos = tuple(Photo(photo.load(), photo.caption) for photo in self.references)
        return Subject(self.id, self.noun, photos)

    @property
    def phrase(self) -> str:
        """The plain noun phrase, `a man`."""
        return Subject(self.id, self.noun, ()).phrase

    def recaptions(self, count: int) -> tuple[PromptCard, ...]:
        """The captions of the first held-out photographs, as prompts."""
        if count > len(self.held_out):
            raise SuiteError(
                f"prompts: recaptions = {count}, {self.id} has {len(self.held_out)} held-out photos"
            )
        return tuple(
            recaption(number, photo.caption, photo.attributes)
            for number, photo in enumerate(self.held_out[:count], start=1)
        )

    def check(self) -> None:
        """Open every photograph once, before hours of work depend on them. Raises DatasetError."""
        refuse_twins(self.id, [p.path for p in self.references], [p.path for p in self.held_out])


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
    wanted = settings.references + (settings.held_out or 1)
    if len(photos) < wanted:
        raise DatasetError(
            f"{id}: {len(photos)} photos, {settings.references} references and "
            f"{settings.held_out or 'at least 1'} held-out ones need {wanted}"
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
