"""FLUX.2 klein (Black Forest Labs 2026): reads several photographs beside the prompt; nothing is fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

from PIL import Image

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.in_context.personalised import PersonalisedContext
from methods.interface import MethodBase
from methods.phrase_file import read_phrase, write_phrase
from methods.setting_checks import check_settings
from methods.subject import Subject, Wording

SMALLEST_SIDE: Final = 64
"""Pixels; the pipeline refuses smaller photographs."""
LARGEST_ASPECT: Final = 8
"""Longer by shorter side; the pipeline refuses narrower photographs."""


@dataclass(frozen=True)
class Flux2Klein(MethodBase):
    """The backbone must be FLUX.2 klein. Class images are generated without a photograph.

    Every photograph is read on its own, at its size up to one megapixel, which is 4096 tokens of attention.
    """

    name: ClassVar[str] = "flux2-klein"

    photos: Literal["first", "all"] = "all"
    """The first photograph alone, or all of them."""
    phrase: str = "this {noun}"
    """The phrase for the person in prompts; `{noun}` is replaced."""

    def __post_init__(self) -> None:
        check_settings(self)

    def unsupported_reason(self, subject: Subject) -> str | None:
        for index, photo in enumerate(self._photographs(subject)):
            width, height = photo.size
            if max(width, height) > LARGEST_ASPECT * min(width, height):
                return (
                    f"{subject.id}: photo {index + 1} is {width} x {height} pixels; expected a side at most "
                    f"{LARGEST_ASPECT} times the other, crop it"
                )
        return super().unsupported_reason(subject)

    def wording(self, subject: Subject) -> Wording:
        return Wording(self._phrase(subject))

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Copy the photographs; small ones are enlarged to the pipeline's least side."""
        if not backbone.reads_photographs:
            raise MethodError(
                f"flux2-klein: this backbone, of the family {backbone.family}, reads no photographs; use "
                "FLUX.2 klein, whose model_index.json names Flux2KleinPipeline"
            )
        for index, image in enumerate(self._photographs(subject)):
            _enlarged(image).save(into / f"{index:04d}.png")
        write_phrase(into, self._phrase(subject))

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedContext:
        images = [_read(path) for path in sorted(fitted.glob("*.png"))]
        if not images:
            raise MethodError(f"{fitted}: no photographs; fit the person again")
        # All rows of a batch have the same photographs.
        return PersonalisedContext(read_phrase(fitted), lambda _: list(images), backbone)

    def _phrase(self, subject: Subject) -> str:
        return self.phrase.replace("{noun}", subject.noun)

    def _photographs(self, subject: Subject) -> list[Image.Image]:
        images = [photo.image.convert("RGB") for photo in subject.references]
        return images[:1] if self.photos == "first" else images


def _enlarged(image: Image.Image) -> Image.Image:
    scale = SMALLEST_SIDE / min(image.size)
    if scale <= 1:
        return image
    width, height = (math.ceil(side * scale) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise MethodError(f"{path}: not a readable image ({error}); fit the person again") from error
