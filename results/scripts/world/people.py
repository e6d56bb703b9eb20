"""The people that are measured: their photographs and captions, and the networks that know faces."""

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
"""Of whatever is drawn by lot: halves, replicates."""
Pictures = list[Image.Image]
Rows = NDArray[np.intp]
"""Places in the folder's list of photographs."""


@dataclass(frozen=True)
class World:
    """The photographs of a split's first so many people, and the networks that know faces."""

    photos: RenderedTrainingSet
    rows: Rows
    yunet: YuNet
    faces: tuple[Encoder, ...]

    @classmethod
    def open(cls, photos: RenderedTrainingSet, people: int, option: str = "--people") -> "World":
        there = len(np.unique(photos.identities))
        if not 4 <= people <= there:
            raise DatasetError(f"{option} {people}: wanted 4 to {there}, which is how many the folder has")
        yunet = YuNet()
        rows = np.flatnonzero(photos.identities < people)
        return cls(photos, rows, yunet, (SFace(yunet), FaceRendered(yunet)))

    def people(self, rows: Rows) -> People:
        return self.photos.identities[rows]

    def pictures(self, rows: Rows) -> Pictures:
        return [Image.fromarray(np.array(self.photos.pixels[row])) for row in rows]

    def caption(self, row: int) -> str:
        """All that is true of the photograph; of its person the noun."""
        who = noun_phrase({"noun": self.photos.noun(row)})
        return self.photos.template(row, mirrored=False).replace(SLOT, who)

    def first_of_each(self, count: int) -> Rows:
        """So many photographs of each person."""
        own = [self.rows[self.people(self.rows) == who] for who in np.unique(self.people(self.rows))]
        return np.concatenate([rows[:count] for rows in own])

    def halves(self, n: int) -> tuple[Rows, Rows]:
        """`n` photographs of one half of the people and `n` of the other; raises BenchError for fewer."""
        rng = np.random.default_rng(SEED)
        mixed = rng.permutation(np.unique(self.people(self.rows)))
        first = np.isin(self.people(self.rows), mixed[: len(mixed) // 2])
        most = min(first.sum(), (~first).sum())
        if not 16 <= n <= most:
            raise BenchError(
                f"--captions {n}: wanted 16 to {most}, which is how many renders half the people have"
            )
        return rng.permutation(self.rows[first])[:n], rng.permutation(self.rows[~first])[:n]
