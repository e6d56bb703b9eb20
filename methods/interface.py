"""What a personalisation method is: it fits one subject's photographs and draws that subject on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from PIL.Image import Image

if TYPE_CHECKING:
    from methods.backbone import Backbone


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
        article = "an" if self.noun[:1].lower() in "aeiou" else "a"
        return f"{article} {self.noun}"


@dataclass(frozen=True)
class Request:
    """One picture to draw."""

    template: str
    """The prompt with the slot `{subject}`, which the method fills with its own words."""
    seed: int
    """The seed of this picture's starting noise; the same for every method."""


EMBEDDED: Final = "embedded"


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, and how it draws."""

    path: str = EMBEDDED
    """A Stable Diffusion folder in diffusers' layout, a hub id, or `embedded` for the one that ships here."""
    revision: str | None = None
    """The hub's commit; of no meaning for a folder."""
    scheduler: str = "own"
    """`ddim`, `dpm++`, `euler`, `unipc`, `pndm`, or `own` for the folder's."""
    steps: int = 30
    guidance: float = 7.5
    negative_prompt: str = ""
    resolution: int | None = None
    """Side of a picture in pixels; None is the one the U-Net was made for."""
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch: int = 8
    """Pictures drawn at once. Always exactly so many: a picture's bytes depend on the batch's size."""


class Personalised(Protocol):
    """A method after fitting one subject. The generator calls it; it leaves the backbone clean."""

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        """Draw one RGB picture per request, in order; a picture depends on its own request alone."""
        ...


class Method(Protocol):
    """A way to personalise. Implement it by a frozen dataclass whose fields are its settings.

    The runner calls `objection`, then `fit`, then `load`, possibly in different processes: everything
    that `load` needs must lie in the folder that `fit` wrote. Both hand the backbone back as they got it.
    """

    @property
    def name(self) -> str:
        """The method's own name, as in the catalogue."""
        ...

    @property
    def sees(self) -> frozenset[str]:
        """Names of the encoders the method conditions on, for the leak ledger (`clip-embedded`, ...)."""
        ...

    @property
    def weights(self) -> tuple[Path, ...]:
        """The method's own pretrained files, whose digests enter every picture's fingerprint."""
        ...

    def objection(self, subject: Subject) -> str | None:
        """Why this subject cannot be fitted (one clear line), or None."""
        ...

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Learn the subject and write what was learnt into the folder `into`, which exists and is empty."""
        ...

    def load(self, fitted: Path, *, backbone: Backbone) -> Personalised:
        """Read what `fit` wrote."""
        ...


class MethodError(Exception):
    """A method cannot do what was asked; the message says where, what was seen, and what to do."""
