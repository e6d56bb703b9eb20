"""What a method receives: a subject with its reference photographs, and requests for images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PIL.Image import Image

SLOT: Final = "{subject}"


@dataclass(frozen=True)
class Photo:
    """One captioned photograph of the subject."""

    image: Image
    """RGB, upright, any size."""
    caption: str
    """A sentence with the slot `{subject}`, such as `a photo of {subject}, smiling`."""


@dataclass(frozen=True)
class Subject:
    """All that a method may know of a person: never the held-out photographs it is judged by."""

    id: str
    noun: str
    """The class noun without article: `man`, `woman`, `person`, `dog`."""
    references: tuple[Photo, ...]

    @property
    def phrase(self) -> str:
        """The plain noun phrase that fills a caption's slot: `a man`, `an elephant`."""
        return with_article(self.noun)


def with_article(noun: str) -> str:
    """`a man`, `an elephant`."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


@dataclass(frozen=True)
class Request:
    """One picture to draw.

    A template without the slot, such as `a photo of a man`, asks for somebody else of that noun: the
    personalised model as it stands, without whatever names the subject. The backbone's changed weights
    (LoRA) stay loaded, for they are the model; an adapter's image tokens are its name for the subject and
    stay away, so that it draws the backbone's own picture.
    """

    template: str
    """The prompt with the slot `{subject}`, which the method fills with its own words."""
    seed: int
    """The seed of this picture's starting noise; the same for every method."""

    def prompt(self, phrase: str) -> str:
        """The template with `phrase` in the subject's place."""
        return self.template.replace(SLOT, phrase)

    @property
    def names_subject(self) -> bool:
        """Whether the subject is asked for."""
        return SLOT in self.template


FLAW: Final = "flaw"
"""Key of a picture's `info` by which it says why it shows nothing: `nan` where it was not numbers."""
