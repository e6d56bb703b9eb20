"""Face metrics: detection, similarity to the person, verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from metrics.encoders.protocols import FaceDetector
from metrics.interface import Better, Encoder, RealPhoto, Sample, Score
from metrics.scores.encoder_metric import EncoderMetric
from metrics.scores.reasons import NO_FACE, NOT_FINITE, missing_face_reason
from metrics.statistics.verification import (
    PhotoPairs,
    cosine,
    false_accepts,
    has_direction,
    photo_pairs,
    threshold_at,
)


@dataclass(frozen=True)
class Identity(EncoderMetric[Encoder]):
    """Mean cosine of the image's face to the person's held-out photographs, -1..1; none without a face."""

    name: ClassVar[str] = "identity"
    better: ClassVar[Better] = "higher"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        return mean_cosines(self.network, samples, [sample.held_out for sample in samples])


@dataclass(frozen=True)
class IdentityZero(Identity):
    """Identity with 0 where no face is found, so that a method gains nothing by hiding difficult faces."""

    name: ClassVar[str] = "identity-zero"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """As `Identity`, with zeros; `real` is not used."""
        return [Score(0.0) if score.reason == NO_FACE else score for score in super().score(samples, real)]


@dataclass(frozen=True)
class Verified(Identity):
    """Share of the person's held-out photographs with which the image is accepted as the same person, 0..1.

    A pair of an image and a photograph is accepted if its cosine exceeds the threshold, which a share
    `false_accepts` of the pairs of photographs of different people among `real` exceeds. Both are comparisons
    of two single images, so the threshold has the same form as the test and does not depend on the number of
    photographs. The mean over images is the true-accept rate at this false-accept rate (TAR at FAR) of face
    verification. An image without a face is rejected. Too few pairs give no score.
    """

    false_accepts: float = 0.01
    name: ClassVar[str] = "verified"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.network.fingerprint,
            "false accepts": f"{self.false_accepts} of the pairs of photographs of different people",
        }

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample, by the threshold computed from `real`."""
        try:
            threshold = threshold_at(self._pairs(real).impostor, self.false_accepts)
        except ValueError as error:
            return [Score(None, f"no threshold: {error}") for _ in samples]
        found = cosines_to(self.network, samples, [sample.held_out for sample in samples])
        return [_accepted(cosines, reason, threshold) for cosines, reason in found]

    def calibration(self, real: Sequence[RealPhoto]) -> Mapping[str, float | None]:
        """The fields of `FalseAccepts`: threshold, realised rate with interval, numbers of pairs and people.

        Empty if there are too few pairs for a threshold.
        """
        try:
            return asdict(false_accepts(self._pairs(real), self.false_accepts))
        except ValueError:
            return {}

    def _pairs(self, real: Sequence[RealPhoto]) -> PhotoPairs:
        vectors = self.network.encode([photo.image for photo in real]) if real else np.empty((0, 1))
        return photo_pairs(vectors, np.array([photo.identity for photo in real], np.str_))


@dataclass(frozen=True)
class Verified5(Verified):
    """`Verified` at 5 % false accepts: a point of the match-rate curve."""

    false_accepts: float = 0.05
    name: ClassVar[str] = "verified-fmr5"


@dataclass(frozen=True)
class Verified10(Verified):
    """`Verified` at 10 % false accepts: a point of the match-rate curve."""

    false_accepts: float = 0.1
    name: ClassVar[str] = "verified-fmr10"


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


def _accepted(cosines: NDArray[np.float64], reason: str, threshold: float) -> Score:
    if reason:
        return Score(0.0) if reason == NO_FACE else Score(None, reason)
    return Score(float((cosines > threshold).mean()))


def mean_cosines(
    encoder: Encoder, samples: Sequence[Sample], photos: Sequence[tuple[Image, ...]], kind: str = "held-out"
) -> list[Score]:
    """Mean cosine of each sample to its own photographs, or the reason why there is none."""
    found = cosines_to(encoder, samples, photos, kind)
    return [Score(None, reason) if reason else Score(float(cosines.mean())) for cosines, reason in found]


def cosines_to(
    encoder: Encoder, samples: Sequence[Sample], photos: Sequence[tuple[Image, ...]], kind: str = "held-out"
) -> list[tuple[NDArray[np.float64], str]]:
    """Cosines of each sample to those of its own photographs that have a face, or the reason why not."""
    faces = valid_vectors(encoder, samples, photos, kind)
    return [
        (np.empty(0), reason) if reason else (cosine(vector[None], own)[0], "")
        for vector, own, reason in faces
    ]


def valid_vectors(
    encoder: Encoder, samples: Sequence[Sample], photos: Sequence[tuple[Image, ...]], kind: str
) -> list[tuple[NDArray[np.floating], NDArray[np.floating], str]]:
    """Vector of each sample, usable vectors of its own photographs, and the reason if either is missing."""
    vectors = encoder.encode([sample.image for sample in samples])
    encoded: dict[tuple[int, ...], NDArray[np.floating]] = {}
    found = []
    for vector, own in zip(vectors, photos, strict=True):
        # Samples of one person share their photographs: encode each tuple once.
        key = tuple(map(id, own))
        if key not in encoded:
            encoded[key] = encoder.encode(own) if own else np.empty((0, len(vector)))
        rows = encoded[key]
        valid = rows[has_direction(rows)]
        reason = _missing_vector_reason(vector) or _missing_photos_reason(rows, valid, kind)
        found.append((vector, valid, reason))
    return found


def _missing_vector_reason(vector: NDArray[np.floating]) -> str:
    return missing_face_reason(vector) or ("" if has_direction(vector) else NOT_FINITE)


def _missing_photos_reason(rows: NDArray[np.floating], valid: NDArray[np.floating], kind: str) -> str:
    if not len(rows):
        return f"no {kind} photographs"
    if len(valid):
        return ""
    return (
        f"{NO_FACE} in any {kind} photograph" if np.isnan(rows).all() else f"{kind} photographs: {NOT_FINITE}"
    )
