"""Rendered photographs as a training set: arrays, captions on demand, labels."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.synthetic.dataset.captions import caption_template, mirrored, random_caption
from bench.synthetic.dataset.photo_files import Photos, load_photos
from bench.synthetic.parameters.persona import sample_persona
from bench.synthetic.parameters.persona_vector import Descriptions, describe


class RenderedTrainingSet:
    """Reads the output of `render_photos`; pixels are memory-mapped."""

    def __init__(self, photos: Photos) -> None:
        self.photos = photos

    @classmethod
    def open(cls, folder: Path) -> RenderedTrainingSet:
        return cls(load_photos(folder))

    @property
    def pixels(self) -> NDArray[np.uint8]:
        return self.photos.pixels

    @cached_property
    def identities(self) -> NDArray[np.int64]:
        _, numbers = np.unique([r.identity for r in self.photos.records], return_inverse=True)
        return numbers.astype(np.int64)

    @cached_property
    def descriptions(self) -> Descriptions:
        """The renderer's parameters; the identity of a record is the seed of its person."""
        seeds = sorted({r.identity for r in self.photos.records})
        people = describe([sample_persona(seed) for seed in seeds])
        return Descriptions(people.numbers[self.identities], people.groups)

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        return random_caption(self._attributes(row, mirrored), rng)

    def template(self, row: int, *, mirrored: bool) -> str:
        return caption_template(self._attributes(row, mirrored))

    def noun(self, row: int) -> str:
        return self.photos.records[row].attributes["noun"]

    def original_size(self, row: int) -> tuple[int, int]:
        height, width = self.pixels.shape[1:3]
        return height, width

    def labels(self, name: str) -> list[str]:
        """The value of one attribute in every row."""
        return [r.attributes[name] for r in self.photos.records]

    def _attributes(self, row: int, mirror: bool) -> dict[str, str]:
        attributes = self.photos.records[row].attributes
        return mirrored(attributes) if mirror else attributes
