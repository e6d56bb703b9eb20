"""Metrics with results that a test can compute by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image

from metrics.interface import Encoder, Features, RealPhoto, Sample, Score


def brightness(image: Image) -> float:
    return float(np.asarray(image.convert("L")).mean() / 255)


@dataclass(frozen=True)
class Likeness:
    """One minus the difference in brightness to the held-out photos."""

    name: str = "identity"
    encoder: str = "fake-eye"
    better: str = "higher"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"weights": "none", "version": "1"}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        if "blind" in sample.prompt:
            return Score(None, "no face found")
        away = [abs(brightness(sample.image) - brightness(photo)) for photo in sample.held_out]
        return Score(1 - sum(away) / len(away))


@dataclass(frozen=True)
class Faces(Likeness):
    """Likeness as a face metric."""

    name: str = "faces"
    of_people: bool = True


@dataclass(frozen=True)
class Length:
    """Length of the prompt, which identifies the prompt that the metric received."""

    name: str = "length"
    encoder: str = ""
    better: str = "neither"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"version": "1"}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [Score(float(len(sample.prompt))) for sample in samples]


@dataclass(frozen=True)
class Gap:
    """Distance between mean brightnesses; refused for fewer than four images."""

    name: str = "gap"
    encoder: str = "fake-eye"
    better: str = "lower"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"version": "1"}

    def features(self, images: Sequence[Image]) -> Features:
        return np.array([[brightness(image)] for image in images])

    def measure(self, generated: Features, real: Features) -> Score:
        if len(generated) < 4:
            return Score(None, f"{len(generated)} images, at least 4 are needed")
        return Score(float(abs(generated.mean() - real.mean())))


@dataclass(frozen=True)
class Away:
    """Difference in brightness between a class image and the backbone's own image."""

    name: str = "away"
    encoder: str = "fake-eye"
    better: str = "lower"
    of_priors: bool = True

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"version": "1"}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [
            Score(abs(brightness(s.image) - brightness(s.backbone_image)))
            for s in samples
            if s.backbone_image is not None
        ]


@dataclass(frozen=True)
class Calibrated(Likeness):
    """Likeness with the number of real photographs as its calibration."""

    name: str = "calibrated"

    def calibration(self, real: Sequence[RealPhoto]) -> Mapping[str, float | None]:
        return {"photos": float(len(real)), "rate": None}


@dataclass(frozen=True)
class SometimesNaN(Length):
    """NaN for the first image, then numbers."""

    name: str = "sometimes"
    better: str = "higher"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [Score(float("nan") if i == 0 else float(i)) for i in range(len(samples))]


@dataclass(frozen=True)
class TooFew(Length):
    """One score, however many images there are."""

    name: str = "too-few"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [Score(1.0)]


@dataclass(frozen=True)
class Contrast:
    """A researcher's metric that uses an encoder of the catalogue: spread of its pooled features."""

    network: Encoder
    name: str = "contrast"
    better: str = "neither"

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.network.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [Score(float(row.std())) for row in self.network.encode([s.image for s in samples])]
