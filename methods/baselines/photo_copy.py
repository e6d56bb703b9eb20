"""Baseline that returns a reference photograph: ceiling of identity and of copying, floor of prompt match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from PIL import Image

from methods.backbone.images import square
from methods.interface import MethodBase, Role
from methods.subject import Request, Subject

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone


@dataclass(frozen=True)
class PhotoCopy(MethodBase):
    """Choose the photograph by the request's seed, and crop it to the backbone's square."""

    name: ClassVar[str] = "photo-copy"
    role: ClassVar[Role] = "ceiling"
    generates_class_images: ClassVar[bool] = False

    def wording(self, subject: Subject) -> None:
        return None

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        for index, photo in enumerate(subject.references):
            square(photo.image, backbone.resolution).save(into / f"{index:04d}.png")

    def load(self, fitted: Path, *, backbone: Backbone) -> CopiedPhotos:
        return CopiedPhotos(tuple(sorted(fitted.glob("*.png"))))


@dataclass(frozen=True)
class CopiedPhotos:
    """The files of the copied photographs."""

    paths: tuple[Path, ...]

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        chosen = [self.paths[request.seed % len(self.paths)] for request in requests]
        return [_read(path) for path in chosen]


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
