"""Columns about the face: is there one, is it this person's, and is it more than a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from metrics.encoders.protocols import FaceFinder
from metrics.interface import Better, Encoder, RealPhoto, Sample, Score
from metrics.scores.reasons import NO_FACE, NOT_FINITE, faulty
from metrics.statistics.verification import mean_cosine, threshold_at, trials


@dataclass(frozen=True)
class Identity:
    """Mean cosine of the picture's face to the person's held-out photographs, -1..1; none without a face."""

    face: Encoder
    name: ClassVar[str] = "identity"
    better: ClassVar[Better] = "higher"

    @property
    def encoder(self) -> str:
        return self.face.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.face.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        alike = _likeness(self.face, samples, [sample.held_out for sample in samples])
        return [_score(value, reason) for value, reason in alike]


@dataclass(frozen=True)
class IdentityZero(Identity):
    """Identity with 0 where no face is found, so that a method gains nothing by hiding hard faces."""

    name: ClassVar[str] = "identity-zero"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """As `Identity`, with zeros; `real` is not looked at."""
        return [Score(0.0) if score.reason == NO_FACE else score for score in super().score(samples, real)]


@dataclass(frozen=True)
class Verified(Identity):
    """1 where a verifier takes the picture for this person, else 0; a picture without a face is not accepted.

    The picture's mean cosine to the held-out photographs must exceed what `false_accepts` of the trials among
    `real` exceed, each a photograph against all those of another person. Too few trials give no score.
    """

    false_accepts: float = 0.01
    name: ClassVar[str] = "verified"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {**self.face.fingerprint, "false accepts": str(self.false_accepts)}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample, by the threshold that `real` gives."""
        identities = np.array([photo.identity for photo in real])
        vectors = self.face.encode([photo.image for photo in real]) if real else np.empty((0, 1))
        try:
            threshold = threshold_at(trials(vectors, identities).impostor, self.false_accepts)
        except ValueError as error:
            return [Score(None, f"no threshold: {error}") for _ in samples]
        alike = super().score(samples, real)
        return [
            s if s.value is None and s.reason != NO_FACE else Score(float((s.value or -1.0) > threshold))
            for s in alike
        ]


@dataclass(frozen=True)
class Copying(Identity):
    """Mean cosine to the photographs the method saw, minus that to others of the same person.

    About 0 for a method that learnt the person, above 0 for one that hands back what it was given. None
    without a face, or where one kind of photograph is missing.
    """

    name: ClassVar[str] = "copying"
    better: ClassVar[Better] = "lower"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        seen = _likeness(self.face, samples, [sample.references for sample in samples], "reference")
        unseen = _likeness(self.face, samples, [sample.held_out for sample in samples])
        return [
            _score(a - b, reason or other_why)
            for (a, reason), (b, other_why) in zip(seen, unseen, strict=True)
        ]


@dataclass(frozen=True)
class Detected:
    """1 where the detector finds a face, else 0: the mean is the detection rate."""

    finder: FaceFinder
    name: ClassVar[str] = "detected"
    better: ClassVar[Better] = "higher"

    @property
    def encoder(self) -> str:
        return self.finder.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.finder.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        found = self.finder.boxes([sample.image for sample in samples])
        return [Score(float(len(boxes) > 0)) for boxes in found]


@dataclass(frozen=True)
class MultiFace(Detected):
    """1 where the detector finds more than one face, 0 where it finds one; none where it finds none."""

    name: ClassVar[str] = "multi-face"
    better: ClassVar[Better] = "lower"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        found = self.finder.boxes([sample.image for sample in samples])
        return [Score(float(len(boxes) > 1)) if boxes else Score(None, NO_FACE) for boxes in found]


def _score(value: float, reason: str) -> Score:
    return Score(None, reason) if reason else Score(float(value))


def _likeness(
    face: Encoder, samples: Sequence[Sample], people: Sequence[tuple[Image, ...]], kind: str = "held-out"
) -> list[tuple[float, str]]:
    """Mean cosine of each sample to its own photographs, with a reason where there is none."""
    vectors = face.encode([sample.image for sample in samples])
    known: dict[tuple[int, ...], NDArray[np.floating]] = {}
    alike = []
    for vector, photos in zip(vectors, people, strict=True):
        # Samples of one person share their photographs: encode each tuple once.
        key = tuple(map(id, photos))
        if key not in known:
            known[key] = face.encode(photos) if photos else np.empty((0, len(vector)))
        alike.append(_likeness_of(vector, known[key], kind))
    return alike


def _likeness_of(vector: NDArray[np.floating], people: NDArray[np.floating], kind: str) -> tuple[float, str]:
    if reason := faulty(vector):
        return np.nan, reason
    if not len(people):
        return np.nan, f"no {kind} photographs"
    value = float(mean_cosine(vector[None], people)[0])
    if not np.isnan(value):
        return value, ""
    faceless = np.isnan(people).all()
    return value, f"{NO_FACE} in any {kind} photograph" if faceless else f"{kind} photographs: {NOT_FINITE}"
