"""Identities with their reference and held-out photographs."""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from unicodedata import category

from PIL import Image

from bench.errors import DatasetError, SuiteError
from bench.subjects.corruptions import CORRUPTIONS
from bench.subjects.image_files import Part, content_of, load_photo
from bench.suite.prompts import SLOT, Prompt, class_prompts, recaption
from bench.suite.suite import DatasetSettings
from bench.text_files import shortened
from methods.subject import Photo, Subject, with_article

T = TypeVar("T")
LONGEST_NOUN: Final = 80
"""Maximum number of characters of a class noun."""
INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
"""Characters without width, which texts copied from web pages contain; a tokenizer would read them."""


@dataclass(frozen=True)
class PhotoFile:
    """A captioned photograph on disk."""

    path: Path
    caption: str
    """A sentence with the slot `{subject}`."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes, if the dataset provides them."""
    part: Part | None = None
    """The part of the file that is the photograph (default: the whole file)."""
    corruption: str = ""
    """Name in `CORRUPTIONS` applied when the photograph is loaded; empty for none."""

    @property
    def named_attributes(self) -> dict[str, str]:
        """The attributes that the caption names: it does not mention what is absent (`none`)."""
        return {label: value for label, value in self.attributes.items() if value != "none"}

    @property
    def name(self) -> str:
        """The file name, and the part if there is one."""
        return f"{self.path}" if self.part is None else f"{self.path} {self.part}"

    def load(self) -> Image.Image:
        """Read the photograph as upright RGB, with its corruption applied."""
        photo = load_photo(self.path, self.part)
        return CORRUPTIONS[self.corruption](photo) if self.corruption else photo

    def content(self) -> bytes:
        """The bytes from which the photograph's digest is computed."""
        return content_of(self.path, self.part) + self.corruption.encode()


@dataclass(frozen=True)
class Identity:
    """One person (or other subject) of a dataset."""

    id: str
    noun: str
    references: tuple[PhotoFile, ...]
    held_out: tuple[PhotoFile, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Permanent attributes, such as `age` and `skin`, if the dataset provides them."""
    origin: str = ""
    """Dataset and partition, for the training overlap: `rendered-people-test`, `celeba-train`."""
    person: bool = True
    """Whether the subject is a person; face metrics skip all others."""
    own_prompts: tuple[Prompt, ...] = ()
    """Prompts provided by the dataset, if the suite enables them."""

    @property
    def subject(self) -> Subject:
        """The subject as given to a method: the references only."""
        photos = tuple(Photo(photo.load(), photo.caption) for photo in self.references)
        return Subject(self.id, self.noun, photos)

    @property
    def described(self) -> Subject:
        """The subject with empty images instead of its photographs; reads no file."""
        empty = Image.new("RGB", (1, 1))
        return Subject(self.id, self.noun, tuple(Photo(empty, photo.caption) for photo in self.references))

    @property
    def phrase(self) -> str:
        """The plain noun phrase, `a man`."""
        return with_article(self.noun)

    @property
    def class_prompts(self) -> tuple[Prompt, ...]:
        """The class prompts of this noun, without the subject."""
        return class_prompts(self.phrase)

    def recaptions(self, count: int) -> tuple[Prompt, ...]:
        """The captions of the first held-out photographs, as prompts."""
        if count > len(self.held_out):
            raise SuiteError(
                f"prompts: recaptions = {count}, {self.id} has {len(self.held_out)} held-out photos"
            )
        return tuple(
            recaption(number, photo.caption, photo.named_attributes)
            for number, photo in enumerate(self.held_out[:count], start=1)
        )


def shuffled(items: Sequence[T], seed: int, name: str) -> list[T]:
    """The items in an order that depends only on the seed and the name, on every machine."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    order = list(items)
    random.Random(int.from_bytes(digest[:8], "big")).shuffle(order)
    return order


def split(
    id: str, photos: Sequence[PhotoFile], settings: DatasetSettings
) -> tuple[list[PhotoFile], list[PhotoFile]]:
    """Reference and held-out photographs, sampled with the seed."""
    order = shuffled(photos, settings.seed, id)
    references, rest = order[: settings.references], order[settings.references :]
    if len(photos) < settings.split_needs:
        raise DatasetError(
            f"{id}: {len(photos)} photos, {settings.references} references and "
            f"{settings.held_out or 'at least 1'} held-out ones need {settings.split_needs}"
        )
    return references, rest[: settings.held_out]


def checked_caption(caption: str, where: str, phrase: str) -> str:
    """The caption with its slot; if the slot is missing, the plain noun phrase is replaced by it.

    The phrase is found as whole words: `a can`, but not in `a candle` or `a can-opener`.
    """
    text = " ".join(caption.translate(INVISIBLE).split())
    if any(category(character) == "Cc" for character in text):
        raise DatasetError(f"{where}: the caption {shortened(text)} contains a control character; remove it")
    if text.count(SLOT) == 1:
        return text
    if SLOT not in text:
        replaced, count = re.subn(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", SLOT, text)
        if count == 1:
            return replaced
    raise DatasetError(f"{where}: the caption {shortened(text)} must contain {SLOT} (or {phrase!r}) once")


def checked_noun(noun: str, where: str) -> str:
    """The class noun without surrounding spaces; raises DatasetError if it is no short line."""
    words = noun.strip()
    if not words or not words.isprintable() or len(words) > LONGEST_NOUN:
        raise DatasetError(f"{where}: the noun is {shortened(words)}; expected one such as 'woman'")
    return words
