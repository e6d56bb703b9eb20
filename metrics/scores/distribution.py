"""Set metrics: distances between the distributions of generated and real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from metrics.encoders.protocols import Classifier
from metrics.interface import Better, Encoder, Features, MetricError, Score
from metrics.scores.encoder_metric import EncoderMetric
from metrics.scores.reasons import non_finite_reason
from metrics.statistics.frechet import frechet_distance, frechet_infinity
from metrics.statistics.inception_score import inception_score, inception_score_uniform
from metrics.statistics.kernel import kernel_distance
from metrics.statistics.manifold import manifold


@dataclass(frozen=True)
class _FeatureMetric(EncoderMetric[Encoder]):
    """Base of the metrics that compare two sets of features."""

    min_images: int = 16
    """Fewer images on either side give no score: the bias would be many times the signal."""

    def features(self, images: Sequence[Image]) -> Features:
        """One row per image."""
        return self.network.encode(images)

    def _unsupported_reason(self, generated: Features, real: Features) -> str:
        if min(len(generated), len(real)) < self.min_images:
            sides = f"{len(generated)} generated and {len(real)} real images"
            return f"{sides}, expected at least {self.min_images} of each"
        return non_finite_reason(generated, "generated images") or non_finite_reason(real, "real images")


@dataclass(frozen=True)
class Frechet(_FeatureMetric):
    """FID (Heusel et al. 2017). Biased upwards, more so with fewer images: compare equal numbers."""

    name: ClassVar[str] = "fid"
    better: ClassVar[Better] = "lower"

    def measure(self, generated: Features, real: Features) -> Score:
        """The distance, at least 0."""
        reason = self._unsupported_reason(generated, real)
        return Score(None, reason) if reason else Score(frechet_distance(generated, real))


@dataclass(frozen=True)
class FrechetInfinity(_FeatureMetric):
    """FID at infinitely many generated images (Chong & Forsyth 2020); the real side keeps its bias.

    None where the bias is not yet linear in 1 / N, as with some hundred images and some thousand features.
    """

    min_images: int = 50
    seed: int = 0
    name: ClassVar[str] = "fid-infinity"
    better: ClassVar[Better] = "lower"

    def measure(self, generated: Features, real: Features) -> Score:
        """The extrapolated distance, which may fall below 0."""
        return self.measure_rest(generated, real, np.ones(len(generated), np.bool_))

    def measure_rest(self, generated: Features, real: Features, rest: NDArray[np.bool_]) -> Score:
        """The same for the rows `rest`, with the random subsets of the whole set as far as they remain.

        New subsets for every set with one person left out would add their own variation to the jackknife.
        """
        if reason := self._unsupported_reason(generated[rest], real):
            return Score(None, reason)
        rng = np.random.default_rng(self.seed)
        try:
            return Score(frechet_infinity(generated, real, rng=rng, rest=rest))
        except ValueError as error:
            return Score(None, str(error))


@dataclass(frozen=True)
class Kernel(_FeatureMetric):
    """KID (Binkowski et al. 2018), unbiased and not scaled by 1000.

    About 0 for independent images of one distribution. Images of few people are not independent: those of a
    perfect method are above 0, as the row of real photographs of the same people is.
    """

    subsets: int = 100
    subset_size: int = 1000
    seed: int = 0
    name: ClassVar[str] = "kid"
    better: ClassVar[Better] = "lower"

    def measure(self, generated: Features, real: Features) -> Score:
        """The squared discrepancy."""
        if reason := self._unsupported_reason(generated, real):
            return Score(None, reason)
        rng = np.random.default_rng(self.seed)
        distance = kernel_distance(
            generated, real, subsets=self.subsets, subset_size=self.subset_size, rng=rng
        )
        return Score(distance.value)


@dataclass(frozen=True)
class Precision(_FeatureMetric):
    """Share of generated images inside the real manifold (Kynkaanniemi et al. 2019), 0..1."""

    k: int = 3
    name: ClassVar[str] = "precision"
    better: ClassVar[Better] = "higher"

    def measure(self, generated: Features, real: Features) -> Score:
        """The field of `Manifold` with this metric's name."""
        if reason := self._unsupported_reason(generated, real):
            return Score(None, reason)
        return Score(getattr(manifold(generated, real, k=self.k), self.name))


@dataclass(frozen=True)
class Recall(Precision):
    """Share of real images inside the generated manifold (Kynkaanniemi et al. 2019), 0..1."""

    name: ClassVar[str] = "recall"


@dataclass(frozen=True)
class Density(Precision):
    """Mean number of real balls that contain a generated image, over k (Naeem et al. 2020), 0 and up."""

    k: int = 5
    name: ClassVar[str] = "density"


@dataclass(frozen=True)
class Coverage(Precision):
    """Share of real images with a generated image nearby (Naeem et al. 2020), 0..1."""

    k: int = 5
    name: ClassVar[str] = "coverage"


@dataclass(frozen=True)
class Inception(EncoderMetric[Classifier]):
    """IS (Salimans et al. 2016), from 1 to the number of images in a split; real images are not used."""

    splits: int = 1
    min_images: int = 50
    """Fewer images in a split give no score, because the score cannot exceed their number."""
    seed: int = 0
    """Seed of the shuffle before splitting; images arrive ordered by person."""
    name: ClassVar[str] = "is"
    better: ClassVar[Better] = "higher"

    def __post_init__(self) -> None:
        """Raise MetricError for weights without class probabilities, before any image is encoded."""
        if reason := getattr(self.network, "no_classes", ""):
            raise MetricError(f"{self.name}@{self.encoder}: {reason}")

    def features(self, images: Sequence[Image]) -> Features:
        """Class probabilities, one row per image."""
        return self.network.probabilities(images)

    def measure(self, generated: Features, real: Features) -> Score:
        """The mean over splits."""
        each = len(generated) // self.splits
        if each < self.min_images:
            limit = f"{each} images in a split cannot score above {each}"
            return Score(None, f"{limit}; expected at least {self.min_images}")
        if reason := non_finite_reason(generated, "generated images"):
            return Score(None, reason)
        if self.splits > 1:
            generated = np.random.default_rng(self.seed).permutation(generated)
        return Score(inception_score(generated, self.splits).mean)


@dataclass(frozen=True)
class InceptionUniform(Inception):
    """The score with p(y) uniform over the classes: it rewards certain predictions and ignores diversity."""

    name: ClassVar[str] = "is-uniform"

    def measure(self, generated: Features, real: Features) -> Score:
        """From 1 to the number of classes."""
        reason = non_finite_reason(generated, "generated images") if len(generated) else "no images"
        return Score(None, reason) if reason else Score(inception_score_uniform(generated))
