"""FLUX.1 Kontext (Black Forest Labs 2025): an editing model that reads photographs; nothing is fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image
from safetensors.torch import save_file

from methods.backbone.backbone import Backbone
from methods.backbone.images import central_square, tensor
from methods.compute.loading import read_tensors
from methods.errors import MethodError
from methods.in_context.personalised import PersonalisedContext
from methods.interface import MethodBase
from methods.phrase_file import read_phrase, write_phrase
from methods.setting_checks import check_settings
from methods.subject import Subject, Wording

FITTED = "context.safetensors"


@dataclass(frozen=True)
class FluxKontext(MethodBase):
    """The backbone must be FLUX.1 Kontext. Class images are generated without a photograph.

    The model was trained with one image in its context.
    """

    name: ClassVar[str] = "flux-kontext"

    photos: Literal["first", "grid"] = "grid"
    """The first photograph, or the central squares of all in a grid, as one image; the first photographs fill
    the last row of a grid."""
    phrase: str = "this {noun}"
    """The phrase for the person in prompts; `{noun}` is replaced."""

    def __post_init__(self) -> None:
        check_settings(self)

    def wording(self, subject: Subject) -> Wording:
        return Wording(self._phrase(subject))

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Encode the photographs, as the pipeline does at every call."""
        if not backbone.context_sizes:
            raise MethodError(
                f"flux-kontext: this backbone, of the family {backbone.family}, reads no image; use FLUX.1 "
                "Kontext, whose model_index.json names FluxKontextPipeline"
            )
        image = self._context(subject)
        resized = image.resize(_size(image, backbone), Image.Resampling.LANCZOS)
        latents = backbone.encode_pixels(tensor([resized]))
        save_file({"latents": latents.cpu().contiguous()}, into / FITTED)
        write_phrase(into, self._phrase(subject))

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedContext:
        tensors, _ = read_tensors(fitted / FITTED)
        if "latents" not in tensors:
            raise MethodError(f"{fitted / FITTED}: not a fit of this method; fit the person again")
        latents = tensors["latents"].to(backbone.device)  # not encoded again
        return PersonalisedContext(
            read_phrase(fitted), lambda rows: latents.expand(rows, -1, -1, -1), backbone
        )

    def _phrase(self, subject: Subject) -> str:
        return self.phrase.replace("{noun}", subject.noun)

    def _context(self, subject: Subject) -> Image.Image:
        images = [photo.image.convert("RGB") for photo in subject.references]
        if self.photos == "first" or len(images) == 1:
            return images[0]
        return _grid(images)


def _grid(images: Sequence[Image.Image]) -> Image.Image:
    """The central squares in rows, about as many columns as rows: few sizes of the model are much wider."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    side = max(min(image.size) for image in images)
    grid = Image.new("RGB", (side * columns, side * rows))
    for place in range(columns * rows):
        image = images[place % len(images)]
        square = central_square(image).resize((side, side), Image.Resampling.LANCZOS)
        grid.paste(square, (place % columns * side, place // columns * side))
    return grid


def _size(image: Image.Image, backbone: Backbone) -> tuple[int, int]:
    """Width and height of the size with the nearest aspect ratio, as the pipeline chooses it."""
    aspect = image.width / image.height
    return min(backbone.context_sizes, key=lambda size: (abs(aspect - size[0] / size[1]), size))
