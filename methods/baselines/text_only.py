"""Baseline of the backbone without the person: floor of identity, ceiling of prompt match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from PIL.Image import Image

from methods.backbone.prior_prompts import generate_with_class_images
from methods.interface import MethodBase, Role
from methods.phrase_file import read_phrase, write_phrase
from methods.subject import Request, Subject

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone


@dataclass(frozen=True)
class TextOnly(MethodBase):
    """Generate from the prompt with the plain noun phrase in place of the subject."""

    name: ClassVar[str] = "text-only"
    role: ClassVar[Role] = "floor"

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        write_phrase(into, subject.phrase)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedText:
        return PersonalisedText(read_phrase(fitted), backbone)


@dataclass(frozen=True)
class PersonalisedText:
    """The subject's noun phrase, such as `a man`, and the backbone."""

    phrase: str
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return generate_with_class_images(requests, self._generate, self.backbone)

    def _generate(self, requests: Sequence[Request]) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        return self.backbone.generate(prompts, [request.seed for request in requests])
