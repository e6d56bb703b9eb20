"""Columns about all of a method's pictures together: how their distribution lies beside that of real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL.Image import Image

from metrics.encoders.protocols import Classifier
from metrics.interface import Better, Encoder, Features, Score
from metrics.scores.reasons import unusable
from metrics.statistics.frechet import frechet_distance, frechet_infinity
from metrics.statistics.inception_score import inception_score, inception_score_uniform
from metrics.statistics.kernel import kernel_distance
from metrics.statistics.manifold import manifold


@dataclass(frozen=True)
class _OfFeatures:
    """What the distances between two clouds of features share."""

    network: Encoder
    least: int = 16
    """Fewer pictures on either side give no score: the bias would be many times the signal."""

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.network.fingerprint

    def features(self, images: Sequence[Image]) -> Features:
        """One row per picture."""
        return self.network.encode(images)

    def _objection(self, generated: Features, real: Features) -> str:
        few = min(len(generated), len(real))
        if few < self.least:
            sides = f"{len(generated)} generated and {len(real)} real pictures"
            return f"{sides}, wanted at least {self.least} of each"
        return unusable(generated, "generated pictures") or unusable(real, "real pictures")


@dataclass(frozen=True)
class Frechet(_OfFeatures):
    """FID (Heusel et al. 2017), biased upwards, the more so the fewer pictures: compare equal numbers."""

    name: ClassVar[str] = "fid"
    better: ClassVar[Better] = "lower"

    def measure(self, generated: Features, real: Features) -> Score:
        """The distance, at least 0."""
        reason = self._objection(generated, real)
        return Score(None, reason) if reason else Score(frechet_distance(generated, real))


@dataclass(frozen=True)
class FrechetInfinity(_OfFeatures):
    """FID at infinitely many generated pictures (Chong & Forsyth 2020); the real side keeps its bias.

    None where the bias is no line in 1 / N yet, as with some hundred pictures and some thousand features.
    """

    least: int = 50
    seed: int = 0
    name: ClassVar[str] = "fid-infinity"
    better: ClassVar[Better] = "lower"

    def measure(self, generated: Features, real: Features) -> Score:
        """The extrapolated distance, which may fall below 0."""
        if reason := self._objection(generated, real):
            return Score(None, reason)
        try:
            return Score(frechet_infinity(generated, real, rng=np.random.default_rng(self.seed)))
        except ValueError as error:
            return Score(None, str(error))


@dataclass(frozen=True)
class Kernel(_OfFeatures):
    """KID (Binkowski et al. 2018), unbiased and not scaled by 1000; about 0 for sets of one distribution."""

    subsets: int = 100
    subset_size: int = 1000
    seed: int = 0
    name: ClassVar[str] = "kid"
    better: ClassVar[Better] = "lower"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.network.fingerprint,
            "subsets": f"{self.subsets} of {self.subset_size}, seed {self.seed}",
        }

    def measure(self, generated: Features, real: Features) -> Score:
        """The squared discrepancy."""
        if reason := self._objection(generated, real):
            return Score(None, reason)
        rng = np.random.default_rng(self.seed)
        distance = kernel_distance(
            generated, real, subsets=self.subsets, subset_size=self.subset_size, rng=rng
        )
        return Score(distance.value)


@dataclass(frozen=True)
class Precision(_OfFeatures):
    """Share of generated pictures inside the real manifold (Kynkaanniemi et al. 2019), 0..1."""

    k: int = 3
    name: ClassVar[str] = "precision"
    better: ClassVar[Better] = "higher"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {**self.network.fingerprint, "neighbours": str(self.k)}

    def measure(self, generated: Features, real: Features) -> Score:
        """The share of this column's name."""
        if reason := self._objection(generated, real):
            return Score(None, reason)
        return Score(getattr(manifold(generated, real, k=self.k), self.name))


@dataclass(frozen=True)
class Recall(Precision):
    """Share of real pictures inside the generated manifold (Kynkaanniemi et al. 2019), 0..1."""

    name: ClassVar[str] = "recall"


@dataclass(frozen=True)
class Density(Precision):
    """How many real balls hold a generated picture, over k (Naeem et al. 2020), 0 and up."""

    k: int = 5
    name: ClassVar[str] = "density"


@dataclass(frozen=True)
class Coverage(Precision):
    """Share of real pictures that have a generated one near (Naeem et al. 2020), 0..1."""

    k: int = 5
    name: ClassVar[str] = "coverage"


@dataclass(frozen=True)
class Inception:
    """IS (Salimans et al. 2016), from 1 to the pictures in a split; real pictures are not looked at."""

    network: Classifier
    splits: int = 1
    least: int = 50
    """Fewer pictures in a split give no score, for it could not exceed their number."""
    seed: int = 0
    """Pictures come ordered by person: before they are split, they are shuffled by this."""
    name: ClassVar[str] = "is"
    better: ClassVar[Better] = "higher"

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        seeded = f", seed {self.seed}" if self.splits > 1 else ""
        return {**self.network.fingerprint, "splits": f"{self.splits}{seeded}"}

    def features(self, images: Sequence[Image]) -> Features:
        """Class probabilities, one row per picture."""
        return self.network.probabilities(images)

    def measure(self, generated: Features, real: Features) -> Score:
        """The mean over splits."""
        each = len(generated) // self.splits
        if each < self.least:
            return Score(
                None, f"{each} pictures in a split cannot score above {each}; wanted at least {self.least}"
            )
        if reason := unusable(generated, "generated pictures"):
            return Score(None, reason)
        if self.splits > 1:
            generated = np.random.default_rng(self.seed).permutation(generated)
        return Score(inception_score(generated, self.splits).mean)


@dataclass(frozen=True)
class InceptionUniform(Inception):
    """The score with p(y) uniform over the classes: it rewards sure predictions and is blind to variety."""

    name: ClassVar[str] = "is-uniform"

    def measure(self, generated: Features, real: Features) -> Score:
        """From 1 to the number of classes."""
        reason = unusable(generated, "generated pictures") if len(generated) else "no pictures"
        return Score(None, reason) if reason else Score(inception_score_uniform(generated))
