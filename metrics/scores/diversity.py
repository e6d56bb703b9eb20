"""Perceptual distances: between images of one person, and to the reference photographs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from PIL.Image import Image, Resampling

from metrics.encoders.protocols import FaceDetector, Perceptual
from metrics.interface import Better, Features, RealPhoto, Sample, Score
from metrics.scores.encoder_metric import EncoderMetric
from metrics.scores.reasons import NO_FACE, NOT_FINITE, SINGLE_IMAGE, is_finite
from metrics.statistics.pairwise_distance import mean_to_others

CROP: Final = 128
"""Height and width of a face crop; large enough to keep all detail of a face of 64 pixels."""


@dataclass(frozen=True)
class Diversity(EncoderMetric[Perceptual]):
    """Mean perceptual distance to the method's other images of the same person and prompt.

    Each pair counts in two images, so the mean over images is the mean over pairs: DreamBooth's DIV (Ruiz
    et al. 2023). None for a single image.
    """

    name: ClassVar[str] = "diversity"
    better: ClassVar[Better] = "higher"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        images = {sample.id: sample.image for sample in samples}
        return _distances_within_groups(self.network, samples, images, SINGLE_IMAGE)


@dataclass(frozen=True)
class FaceDiversity(EncoderMetric[Perceptual]):
    """`Diversity` of the faces alone: the largest face of each image, cropped and resized to 128 pixels."""

    detector: FaceDetector
    name: ClassVar[str] = "face-diversity"
    better: ClassVar[Better] = "higher"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.detector.fingerprint,
            **self.network.fingerprint,
            "crop": f"{CROP}, bicubic antialiased",
        }

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        found = self.detector.boxes([sample.image for sample in samples])
        crops = {
            sample.id: face_crop(sample.image, boxes[0])
            for sample, boxes in zip(samples, found, strict=True)
            if boxes
        }
        scores = _distances_within_groups(self.network, samples, crops, f"{SINGLE_IMAGE} with a face")
        return [
            score if sample.id in crops else Score(None, NO_FACE)
            for sample, score in zip(samples, scores, strict=True)
        ]


@dataclass(frozen=True)
class NearestReference(EncoderMetric[Perceptual]):
    """Perceptual distance to the most similar reference photograph: 0 is a copy; more is not better.

    References are the photographs shown to the method; none without them.
    """

    name: ClassVar[str] = "nearest-reference"
    better: ClassVar[Better] = "neither"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        if not sample.references:
            return Score(None, "no reference photographs")
        row, *references = self.network.embed([sample.image, *sample.references])
        if not is_finite(row):
            return Score(None, NOT_FINITE)
        if not all(is_finite(photo) for photo in references):
            return Score(None, f"reference photographs: {NOT_FINITE}")
        return Score(min(_distance(row, photo) for photo in references))


def _distance(x: Features, y: Features) -> float:
    difference = np.subtract(x, y, dtype=np.float32)
    return float(np.square(difference).sum(dtype=np.float64))


def _distances_within_groups(
    network: Perceptual, samples: Sequence[Sample], images: Mapping[str, Image], single_reason: str
) -> list[Score]:
    """Mean distance of each sample to the others of its person and prompt, of those in `images`."""
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.id in images:
            groups[sample.identity, sample.prompt_id].append(sample)
    scores: dict[str, Score] = {}
    for group in groups.values():
        rows = network.embed([images[sample.id] for sample in group])
        finite = [i for i in range(len(group)) if is_finite(rows[i])]
        scores.update({sample.id: Score(None, NOT_FINITE) for sample in group})
        scores.update({group[i].id: Score(None, single_reason) for i in finite})
        if len(finite) > 1:
            distances = mean_to_others(rows[finite]).tolist()
            scores.update({group[i].id: Score(value) for i, value in zip(finite, distances, strict=True)})
    return [scores.get(sample.id, Score(None, single_reason)) for sample in samples]


def face_crop(image: Image, box: tuple[float, float, float, float]) -> Image:
    """The part of an image inside a box (left, top, width, height), clipped to the image, at 128 pixels."""
    left, top, width, height = box
    corners = (max(0.0, left), max(0.0, top), min(left + width, image.width), min(top + height, image.height))
    return image.convert("RGB").resize((CROP, CROP), Resampling.BICUBIC, box=corners)
