"""Columns about variety: how different pictures of one person are from each other and from what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from PIL.Image import Image, Resampling

from metrics.columns.faces import NO_FACE
from metrics.diversity import mean_to_others, pairwise
from metrics.encoders.kinds import FaceFinder, Perceptual
from metrics.interface import Better, RealPhoto, Sample, Score

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
        return {**self.finder.fingerprint, **self.network.fingerprint, "crop": str(CROP)}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        found = self.finder.boxes([sample.image for sample in samples])
        crops = {
            sample.id: _crop(sample.image, boxes[0])
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
        distances = pairwise(self.network.embed([sample.image, *sample.references]))
        return Score(float(distances[0, 1:].min()))


def _score(
    network: Perceptual, samples: Sequence[Sample], images: Mapping[str, Image], alone: str
) -> list[Score]:
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.id in images:
            groups[sample.identity, sample.prompt_id].append(sample)
    distances: dict[str, float] = {}
    for group in groups.values():
        if len(group) > 1:
            rows = network.embed([images[sample.id] for sample in group])
            distances.update(zip((sample.id for sample in group), mean_to_others(rows).tolist(), strict=True))
    return [Score(distances[s.id]) if s.id in distances else Score(None, alone) for s in samples]


def _crop(image: Image, box: tuple[float, float, float, float]) -> Image:
    left, top, width, height = box
    corners = (max(0.0, left), max(0.0, top), min(left + width, image.width), min(top + height, image.height))
    return image.convert("RGB").resize((CROP, CROP), Resampling.BICUBIC, box=corners)
