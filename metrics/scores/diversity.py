"""Columns about variety: how different pictures of one person are from each other and from what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL.Image import Image, Resampling

from metrics.encoders.protocols import FaceFinder, Perceptual
from metrics.interface import Better, Features, RealPhoto, Sample, Score
from metrics.scores.reasons import NO_FACE, NOT_FINITE, sound
from metrics.statistics.pairwise_distance import mean_to_others

CROP = 128
"""Height and width of a face crop, a size at which a face of 64 pixels loses nothing."""


@dataclass(frozen=True)
class Diversity:
    """Mean perceptual distance to the method's other pictures of the same person and prompt.

    Each pair counts in two pictures, so the mean over pictures is the mean over pairs: DreamBooth's DIV (Ruiz
    et al. 2023). None for an only picture.
    """

    network: Perceptual
    name: ClassVar[str] = "diversity"
    better: ClassVar[Better] = "higher"

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.network.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        return _score(
            self.network, samples, {sample.id: sample.image for sample in samples}, "only one picture"
        )


@dataclass(frozen=True)
class FaceDiversity:
    """`Diversity` of the faces alone: the largest face of each picture, cut out and resized to 128 pixels."""

    network: Perceptual
    finder: FaceFinder
    name: ClassVar[str] = "face-diversity"
    better: ClassVar[Better] = "higher"

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {**self.finder.fingerprint, **self.network.fingerprint, "crop": f"{CROP}, bicubic antialiased"}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        found = self.finder.boxes([sample.image for sample in samples])
        crops = {
            sample.id: face_crop(sample.image, boxes[0])
            for sample, boxes in zip(samples, found, strict=True)
            if boxes
        }
        scores = _score(self.network, samples, crops, "only one picture with a face")
        return [
            score if sample.id in crops else Score(None, NO_FACE)
            for sample, score in zip(samples, scores, strict=True)
        ]


@dataclass(frozen=True)
class NearestReference:
    """Perceptual distance to the most alike photograph that the method saw: 0 is a copy; more is not better.

    None where no photographs were seen.
    """

    network: Perceptual
    name: ClassVar[str] = "nearest-reference"
    better: ClassVar[Better] = "neither"

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.network.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        if not sample.references:
            return Score(None, "no reference photographs")
        row, *seen = self.network.embed([sample.image, *sample.references])
        if not sound(row):
            return Score(None, NOT_FINITE)
        if not all(sound(photo) for photo in seen):
            return Score(None, f"reference photographs: {NOT_FINITE}")
        return Score(min(_distance(row, photo) for photo in seen))


def _distance(x: Features, y: Features) -> float:
    difference = np.subtract(x, y, dtype=np.float32)
    return float(np.square(difference).sum(dtype=np.float64))


def _score(
    network: Perceptual, samples: Sequence[Sample], images: Mapping[str, Image], alone: str
) -> list[Score]:
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.id in images:
            groups[sample.identity, sample.prompt_id].append(sample)
    scores: dict[str, Score] = {}
    for group in groups.values():
        rows = network.embed([images[sample.id] for sample in group])
        whole = [i for i in range(len(group)) if sound(rows[i])]
        scores.update({sample.id: Score(None, NOT_FINITE) for sample in group})
        scores.update({group[i].id: Score(None, alone) for i in whole})
        if len(whole) > 1:
            distances = mean_to_others(rows[whole]).tolist()
            scores.update({group[i].id: Score(value) for i, value in zip(whole, distances, strict=True)})
    return [scores.get(sample.id, Score(None, alone)) for sample in samples]


def face_crop(image: Image, box: tuple[float, float, float, float]) -> Image:
    """The part of a picture in a box (left, top, width, height), as far as it lies inside, at 128 pixels."""
    left, top, width, height = box
    corners = (max(0.0, left), max(0.0, top), min(left + width, image.width), min(top + height, image.height))
    return image.convert("RGB").resize((CROP, CROP), Resampling.BICUBIC, box=corners)
