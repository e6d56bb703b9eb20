"""Face metrics: detection, similarity to the person, verification, copying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from metrics.encoders.protocols import FaceDetector
from metrics.interface import Better, Encoder, RealPhoto, Sample, Score
from metrics.scores.encoder_metric import EncoderMetric
from metrics.scores.reasons import NO_FACE, NOT_FINITE, missing_face_reason
from metrics.statistics.verification import mean_cosine, threshold_at, trials


@dataclass(frozen=True)
class Identity(EncoderMetric[Encoder]):
    """Mean cosine of the image's face to the person's held-out photographs, -1..1; none without a face."""

    name: ClassVar[str] = "identity"
    better: ClassVar[Better] = "higher"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        cosines = _mean_cosines(self.network, samples, [sample.held_out for sample in samples])
        return [_score(value, reason) for value, reason in cosines]


@dataclass(frozen=True)
class IdentityZero(Identity):
    """Identity with 0 where no face is found, so that a method gains nothing by hiding difficult faces."""

    name: ClassVar[str] = "identity-zero"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """As `Identity`, with zeros; `real` is not used."""
        return [Score(0.0) if score.reason == NO_FACE else score for score in super().score(samples, real)]


@dataclass(frozen=True)
class Verified(Identity):
    """1 where a verifier accepts the image as this person, else 0; an image without a face is rejected.

    The threshold is the cosine that a share `false_accepts` of the impostor trials among `real` exceeds. A
    trial is the mean cosine of one photograph to all those of another person. Too few trials give no score.
    """

    false_accepts: float = 0.01
    name: ClassVar[str] = "verified"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {**self.network.fingerprint, "false accepts": str(self.false_accepts)}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample, by the threshold computed from `real`."""
        identities = np.array([photo.identity for photo in real])
        vectors = self.network.encode([photo.image for photo in real]) if real else np.empty((0, 1))
        try:
            threshold = threshold_at(trials(vectors, identities).impostor, self.false_accepts)
        except ValueError as error:
            return [Score(None, f"no threshold: {error}") for _ in samples]
        cosines = super().score(samples, real)
        return [
            s if s.value is None and s.reason != NO_FACE else Score(float((s.value or -1.0) > threshold))
            for s in cosines
        ]


@dataclass(frozen=True)
class Copying(Identity):
    """Mean cosine to the photographs shown to the method, minus that to other photographs of the person.

    About 0 for a method that learnt the person, above 0 for one that copies its input. None without a face,
    or where one kind of photograph is missing.
    """

    name: ClassVar[str] = "copying"
    better: ClassVar[Better] = "lower"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        references = [sample.references for sample in samples]
        shown = _mean_cosines(self.network, samples, references, "reference")
        unseen = _mean_cosines(self.network, samples, [sample.held_out for sample in samples])
        return [
            _score(a - b, reason or other_reason)
            for (a, reason), (b, other_reason) in zip(shown, unseen, strict=True)
        ]


@dataclass(frozen=True)
class Detected(EncoderMetric[FaceDetector]):
    """1 where the detector finds a face, else 0: the mean is the detection rate."""

    name: ClassVar[str] = "detected"
    better: ClassVar[Better] = "higher"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        found = self.network.boxes([sample.image for sample in samples])
        return [Score(float(len(boxes) > 0)) for boxes in found]


@dataclass(frozen=True)
class MultiFace(Detected):
    """1 where the detector finds several faces, 0 where it finds one, none where it finds none."""

    name: ClassVar[str] = "multi-face"
    better: ClassVar[Better] = "lower"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        found = self.network.boxes([sample.image for sample in samples])
        return [Score(float(len(boxes) > 1)) if boxes else Score(None, NO_FACE) for boxes in found]


def _score(value: float, reason: str) -> Score:
    return Score(None, reason) if reason else Score(float(value))


def _mean_cosines(
    encoder: Encoder, samples: Sequence[Sample], photos: Sequence[tuple[Image, ...]], kind: str = "held-out"
) -> list[tuple[float, str]]:
    """Mean cosine of each sample to its own photographs, or the reason why there is none."""
    vectors = encoder.encode([sample.image for sample in samples])
    encoded: dict[tuple[int, ...], NDArray[np.floating]] = {}
    cosines = []
    for vector, own in zip(vectors, photos, strict=True):
        # Samples of one person share their photographs: encode each tuple once.
        key = tuple(map(id, own))
        if key not in encoded:
            encoded[key] = encoder.encode(own) if own else np.empty((0, len(vector)))
        cosines.append(_mean_cosine_of(vector, encoded[key], kind))
    return cosines


def _mean_cosine_of(
    vector: NDArray[np.floating], photos: NDArray[np.floating], kind: str
) -> tuple[float, str]:
    if reason := missing_face_reason(vector):
        return np.nan, reason
    if not len(photos):
        return np.nan, f"no {kind} photographs"
    value = float(mean_cosine(vector[None], photos)[0])
    if not np.isnan(value):
        return value, ""
    faceless = np.isnan(photos).all()
    return value, f"{NO_FACE} in any {kind} photograph" if faceless else f"{kind} photographs: {NOT_FINITE}"
