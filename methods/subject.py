"""Input of a method: a subject with its reference photographs, and requests for images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from PIL.Image import Image

SLOT: Final = "{subject}"


def with_article(noun: str) -> str:
    """`a man`, `an elephant`: the article by the noun's first letter."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


@dataclass(frozen=True)
class Photo:
    """One captioned photograph of the subject."""

    image: Image
    """RGB, upright, any size."""
    caption: str
    """A sentence with the slot `{subject}`, such as `a photo of {subject}, smiling`."""


@dataclass(frozen=True)
class Subject:
    """All data of a person that a method receives; held-out photographs are never part of it."""

    id: str
    noun: str
    """The class noun without article: `man`, `woman`, `person`, `dog`."""
    references: tuple[Photo, ...]

    @property
    def phrase(self) -> str:
        """The plain noun phrase that fills a caption's slot: `a man`, `an elephant`."""
        return with_article(self.noun)


@dataclass(frozen=True)
class Wording:
    """The texts that a method gives to the text encoder for one subject; a run checks their lengths first."""

    phrase: str
    """The words for the subject in prompts: `sks man`. A new token is represented by a known one."""
    training_texts: tuple[str, ...] = ()
    """The texts that `fit` encodes; `phrase` replaces their slot `{subject}`, where they have one."""


@dataclass(frozen=True)
class Request:
    """One image to generate.

    A template without the slot, such as `a photo of a man`, requests a class image: the personalised model
    without the phrase that names the subject. Changed weights (LoRA) stay loaded, because they are the model.
    An adapter's image tokens stand for the subject and are left out: the result is the backbone's own image,
    or that of the backbone with the LoRA that the adapter's file contains.
    """

    template: str
    """The prompt with the slot `{subject}`, which the method fills with its own phrase."""
    seed: int
    """Seed of this image's starting noise; the same for every method."""
    prompt_id: str = field(default="", compare=False)
    """Name of the prompt in the suite, for images made elsewhere; no image generated here depends on it."""
    sample: int = field(default=1, compare=False)
    """Number of the image of this prompt, from 1; as `prompt_id`."""

    def prompt(self, phrase: str) -> str:
        """The template with `phrase` in place of the slot."""
        return self.template.replace(SLOT, phrase)

    @property
    def names_subject(self) -> bool:
        """Whether the template has the slot."""
        return SLOT in self.template


FLAW: Final = "flaw"
"""Key of `image.info` with the reason why an image is unusable: `nan` for non-finite pixels."""
