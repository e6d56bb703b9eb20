"""Columns about somebody else: what fitting one person has done to all others of the noun.

Each picture is drawn after fitting from a prompt without the subject, and compared with what the backbone
alone draws from the same prompt and seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from metrics.encoders.protocols import Perceptual
from metrics.interface import Better, RealPhoto, Sample, Score
from metrics.scores.identity import Identity
from metrics.scores.reasons import NOT_FINITE, sound

NO_OWN = "no picture of the backbone's own beside it"


@dataclass(frozen=True)
class Drift:
    """Perceptual distance to the backbone's own picture of the same seed: 0 where fitting changed nothing."""

    network: Perceptual
    name: ClassVar[str] = "drift"
    better: ClassVar[Better] = "lower"
    of_priors: ClassVar[Literal[True]] = True

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.network.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample, 0 and up; `real` is not looked at."""
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        if sample.own is None:
            return Score(None, NO_OWN)
        drawn, own = self.network.embed([sample.image, sample.own]).astype(np.float64)
        if not (sound(drawn) and sound(own)):
            return Score(None, NOT_FINITE)
        return Score(float(((drawn - own) ** 2).sum()))


@dataclass(frozen=True)
class Bleed(Identity):
    """Identity cosine to the subject's held-out photographs, minus that of the backbone's own picture, -2..2.

    About 0 where somebody else stays somebody else, above 0 where everybody of the noun takes on the
    subject's face. PRES of Ruiz et al. (2023) is such a cosine, without taking off the backbone's own. None
    where either picture has no face.
    """

    name: ClassVar[str] = "bleed"
    better: ClassVar[Better] = "neither"
    of_priors: ClassVar[Literal[True]] = True

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        own = [replace(s, image=s.image if s.own is None else s.own) for s in samples]
        pairs = zip(samples, super().score(samples, real), super().score(own, real), strict=True)
        return [Score(None, NO_OWN) if s.own is None else _minus(a, b) for s, a, b in pairs]


def _minus(after: Score, before: Score) -> Score:
    if after.value is None:
        return after
    if before.value is None:
        return Score(None, f"the backbone's own picture: {before.reason}")
    return Score(after.value - before.value)
