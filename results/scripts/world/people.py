"""Rendered people with their photographs and captions, and the face networks that encode them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.errors import BenchError, DatasetError
from bench.suite.prompts import SLOT
from bench.synthetic.dataset.captions import noun_phrase
from bench.training.rendered import RenderedTrainingSet
from metrics.encoders.faces.face_rendered import FaceRendered
from metrics.encoders.faces.sface import SFace
from metrics.encoders.faces.yunet import YuNet
from metrics.interface import Encoder
from world.statistics import People

SEED: Final = 0
"""Seed of the split into halves and of the bootstrap."""
Images = list[Image.Image]
Rows = NDArray[np.intp]
"""Indices of photographs in the folder."""


@dataclass(frozen=True)
class RenderedPeople:
    """The photographs of the first people of a split, and the face networks."""

    photos: RenderedTrainingSet
    rows: Rows
    yunet: YuNet
    faces: tuple[Encoder, ...]

    @classmethod
    def open(cls, photos: RenderedTrainingSet, people: int, option: str = "--people") -> "RenderedPeople":
        available = len(np.unique(photos.identities))
        if not 4 <= people <= available:
            raise DatasetError(
                f"{option} {people}: expected 4 to {available}, the number of people in the folder"
            )
        yunet = YuNet()
        rows = np.flatnonzero(photos.identities < people)
        return cls(photos, rows, yunet, (SFace(yunet), FaceRendered(yunet)))

    def people(self, rows: Rows) -> People:
        return self.photos.identities[rows]

    def images(self, rows: Rows) -> Images:
        return [Image.fromarray(np.array(self.photos.pixels[row])) for row in rows]

    def caption(self, row: int) -> str:
        """The photograph's full caption with the person's noun."""
        phrase = noun_phrase({"noun": self.photos.noun(row)})
        return self.photos.template(row, mirrored=False).replace(SLOT, phrase)

    def first_of_each(self, count: int) -> Rows:
        """The first `count` photographs of each person."""
        own = [self.rows[self.people(self.rows) == who] for who in np.unique(self.people(self.rows))]
        return np.concatenate([rows[:count] for rows in own])

    def halves(self, n: int) -> tuple[Rows, Rows]:
        """Sample `n` photographs from each half of the people; raises BenchError if there are too few."""
        rng = np.random.default_rng(SEED)
        shuffled = rng.permutation(np.unique(self.people(self.rows)))
        first = np.isin(self.people(self.rows), shuffled[: len(shuffled) // 2])
        most = min(first.sum(), (~first).sum())
        if not 16 <= n <= most:
            raise BenchError(
                f"--captions {n}: expected 16 to {most}, the number of renders of half the people"
            )
        return rng.permutation(self.rows[first])[:n], rng.permutation(self.rows[~first])[:n]
