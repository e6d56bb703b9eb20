"""The backbone without the person: the floor of identity and the ceiling of prompt match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from PIL.Image import Image

from methods.backbone.prior_prompts import drawn_apart
from methods.subject import Request, Subject

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone

PHRASE = "phrase.txt"


@dataclass(frozen=True)
class TextOnly:
    """Draws the prompt with the plain noun phrase in the subject's place."""

    name: ClassVar[str] = "text-only"

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return frozenset()

    @property
    def weights(self) -> tuple[Path, ...]:
        return ()

    def unsupported_reason(self, subject: Subject) -> str | None:
        if not subject.references:
            return f"{subject.id}: no reference photos; give at least 1"
        return None

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        (into / PHRASE).write_text(subject.phrase, encoding="utf-8")

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedText:
        return PersonalisedText((fitted / PHRASE).read_text(encoding="utf-8"), backbone)


@dataclass(frozen=True)
class PersonalisedText:
    """Knows of the person only what a noun says."""

    phrase: str
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return drawn_apart(requests, self._draw, self.backbone)

    def _draw(self, requests: Sequence[Request]) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        return self.backbone.generate(prompts, [request.seed for request in requests])
