"""The kinds of network that metrics need, beside the plain encoder of `metrics.interface`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL.Image import Image

from metrics.interface import Features


class Classifier(Protocol):
    """A network with class probabilities."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def probabilities(self, images: Sequence[Image]) -> Features:
        """N x classes, each row summing to 1."""
        ...


class Perceptual(Protocol):
    """A network whose feature maps make a perceptual distance."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def embed(self, images: Sequence[Image]) -> Features:
        """One row per picture; the squared Euclidean distance of two rows is their perceptual distance."""
        ...


class Attributes(Protocol):
    """A network that says what is to be seen in a picture."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        """The values it can tell apart, by attribute."""
        ...

    def describe(self, images: Sequence[Image]) -> list[dict[str, str]]:
        """The likeliest value of every attribute, for each picture; nothing where a number is not finite."""
        ...


class TextMatcher(Protocol):
    """A network that sees pictures and reads sentences in one space."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def encode(self, images: Sequence[Image]) -> Features:
        """N x D unit vectors of pictures."""
        ...

    def read(self, texts: Sequence[str]) -> Features:
        """N x D unit vectors of sentences."""
        ...


class FaceFinder(Protocol):
    """A face detector."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def boxes(self, images: Sequence[Image]) -> list[list[tuple[float, float, float, float]]]:
        """Left, top, width and height of every face of each picture, the largest first."""
        ...
