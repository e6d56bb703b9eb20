"""Kinds of network that metrics use, in addition to `Encoder` in `metrics.interface`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL.Image import Image

from metrics.interface import Encoder, Features, Network


class Classifier(Network, Protocol):
    """A network with class probabilities."""

    def probabilities(self, images: Sequence[Image]) -> Features:
        """N x classes, each row summing to 1."""
        ...


class Perceptual(Network, Protocol):
    """A network whose feature maps define a perceptual distance."""

    def embed(self, images: Sequence[Image]) -> Features:
        """One row per image; the squared Euclidean distance of two rows is their perceptual distance."""
        ...


class Attributes(Network, Protocol):
    """A classifier of visible attributes."""

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        """The possible values of each attribute."""
        ...

    def describe(self, images: Sequence[Image]) -> list[dict[str, str]]:
        """The most likely value of every attribute, per image; empty if a logit is not finite."""
        ...


class TextMatcher(Encoder, Protocol):
    """A network that maps images and sentences to unit vectors of one space."""

    def encode_texts(self, texts: Sequence[str]) -> Features:
        """N x D unit vectors of sentences."""
        ...


class FaceDetector(Network, Protocol):
    """A face detector."""

    def boxes(self, images: Sequence[Image]) -> list[list[tuple[float, float, float, float]]]:
        """Left, top, width and height of every face of each image, the largest first."""
        ...
