"""Metrics that compare an image with that of the backbone without the method, from the same prompt and seed.

Drift and bleed evaluate class images, which are generated after fitting from a prompt without the subject:
how fitting one person changes other subjects of the same noun. Disruption evaluates images of the subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np

from metrics.encoders.protocols import Perceptual
from metrics.interface import Better, RealPhoto, Sample, Score
from metrics.scores.encoder_metric import EncoderMetric
from metrics.scores.identity import Identity
from metrics.scores.reasons import NOT_FINITE, is_finite

NO_OWN: Final = "no image of the backbone to compare with"


@dataclass(frozen=True)
class Drift(EncoderMetric[Perceptual]):
    """Perceptual distance to the backbone's own image of the same seed: 0 where fitting changed nothing."""

    name: ClassVar[str] = "drift"
    better: ClassVar[Better] = "lower"
    of_priors: ClassVar[bool] = True

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample, 0 and up; `real` is not used."""
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        if sample.backbone_image is None:
            return Score(None, NO_OWN)
        generated, own = self.network.embed([sample.image, sample.backbone_image]).astype(np.float64)
        if not (is_finite(generated) and is_finite(own)):
            return Score(None, NOT_FINITE)
        return Score(float(((generated - own) ** 2).sum()))


@dataclass(frozen=True)
class Disruption(Drift):
    """Perceptual distance of an image of the subject to the backbone's image of the same prompt and seed.

    PuLID (Guo et al. 2024) calls the change of an image by the subject disruption, and measures it with CLIP.
    Neither direction is better, because the subject must change something: exactly 0 for every image of a
    method means that its images equal those of the backbone, so that the method has no effect.
    """

    name: ClassVar[str] = "disruption"
    better: ClassVar[Better] = "neither"
    of_priors: ClassVar[bool] = False
    needs_backbone: ClassVar[bool] = True


@dataclass(frozen=True)
class Bleed(Identity):
    """Identity cosine to the subject's held-out photographs, minus that of the backbone's own image, -2..2.

    About 0 where other people keep their own face, above 0 where everybody of the noun takes on the subject's
    face. PRES of Ruiz et al. (2023) is such a cosine without the subtraction. None where either image has no
    face.
    """

    name: ClassVar[str] = "bleed"
    better: ClassVar[Better] = "neither"
    of_priors: ClassVar[bool] = True

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        own = [replace(s, image=s.image if s.backbone_image is None else s.backbone_image) for s in samples]
        pairs = zip(samples, super().score(samples, real), super().score(own, real), strict=True)
        return [Score(None, NO_OWN) if s.backbone_image is None else _difference(a, b) for s, a, b in pairs]


def _difference(after: Score, before: Score) -> Score:
    if after.value is None:
        return after
    if before.value is None:
        return Score(None, f"the backbone's own image: {before.reason}")
    return Score(after.value - before.value)
