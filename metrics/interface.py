"""What the harness requires of a metric: one score per image, or one score per set of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

Better = Literal["higher", "lower", "neither"]
Features = NDArray[np.floating]


@dataclass(frozen=True)
class Score:
    """A number, or the reason why there is none. A missing score is never a zero."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Sample:
    """One generated image with everything a metric may use; never the method's own token."""

    id: str
    identity: str
    prompt_id: str
    image: Image
    prompt: str
    """The prompt with the plain noun phrase in place of the subject."""
    expected_attributes: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes that the prompt requests, such as `{"glasses": "black", "background": "blue"}`."""
    held_out: tuple[Image, ...] = ()
    """Photographs of the same person that were not shown to the method."""
    references: tuple[Image, ...] = ()
    """The photographs that were shown to the method."""
    person: bool = True
    """False for things and animals, to which face metrics do not apply."""
    backbone_image: Image | None = None
    """The image of the backbone without the method, from the same prompt and seed. Class images have it,
    images of the subject only for a metric with `MetricBase.needs_backbone`; None if it does not exist."""


@dataclass(frozen=True)
class RealPhoto:
    """A held-out photograph, for calibration and as the real side of set metrics."""

    identity: str
    image: Image


class Network(Protocol):
    """Any pretrained network behind a metric."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What the numbers depend on: weights (SHA-256), library versions, detector size, resize mode."""
        ...


class Encoder(Network, Protocol):
    """A network that maps images to vectors. Input images are RGB, of any size."""

    def encode(self, images: Sequence[Image]) -> Features:
        """One row per image.

        A row of NaN means that the image contains nothing to encode (no face). Any other non-finite row means
        that the network's output is not finite; a vector of length 0 becomes a row of infinities.
        """
        ...


class SampleMetric(Protocol):
    """Scores each image of one method; the table shows the mean over images with an interval.

    The harness also reads the optional members of `MetricBase`.
    """

    @property
    def name(self) -> str:
        """Column name without the network: `identity`."""
        ...

    @property
    def encoder(self) -> str:
        """The network behind the number, shown in the column header: `sface`."""
        ...

    @property
    def better(self) -> Better: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample, in order. `real` contains held-out photographs of several people.

        A call has all images of a person by one method, but not of all people, who may not fit into memory.
        """
        ...


class SetMetric(Protocol):
    """Scores a set of generated images against a set of real ones.

    Features and statistic are separate, so that intervals can be bootstrapped without a second pass.
    """

    @property
    def name(self) -> str: ...

    @property
    def encoder(self) -> str: ...

    @property
    def better(self) -> Better: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def features(self, images: Sequence[Image]) -> Features:
        """One row per image."""
        ...

    def measure(self, generated: Features, real: Features) -> Score: ...


class MetricBase:
    """Defaults of the optional members of a metric. Deriving from this class is optional, too.

    A class that only implements `SampleMetric` or `SetMetric` gets these defaults, and may override each one
    by an attribute of the same name.
    """

    of_priors: ClassVar[bool] = False
    """True for a metric of class images: generated after fitting, from prompts without the subject.

    Such a metric gets only class images, each with the backbone's image in `Sample.backbone_image`; all
    other metrics get none of them.
    """
    of_people: ClassVar[bool] = False
    """True for a metric that applies to people only, because it uses a face network."""
    needs_backbone: ClassVar[bool] = False
    """True for a metric of images of the subject that reads `Sample.backbone_image`."""

    def calibration(self, real: Sequence[RealPhoto]) -> Mapping[str, float | None]:
        """What the scores derive from real photographs, such as a threshold, for metrics.json."""
        return {}

    def measure_rest(self, generated: Features, real: Features, rest: NDArray[np.bool_]) -> Score:
        """For a set metric: the score of the rows `rest`, with the random choices of the whole set."""
        score: Score = self.measure(generated[rest], real)  # type: ignore[attr-defined]
        return score


class MetricError(Exception):
    """A metric cannot be computed. The message names what is missing, where it was searched, and a remedy."""


def of_priors(metric: SampleMetric) -> bool:
    """Whether a metric scores class images (see `MetricBase.of_priors`)."""
    return bool(optional_member(metric, "of_priors"))


def needs_backbone(metric: SampleMetric) -> bool:
    """Whether a metric reads the backbone's image of subject images (see `MetricBase.needs_backbone`)."""
    return bool(optional_member(metric, "needs_backbone"))


def calibration(metric: SampleMetric, real: Sequence[RealPhoto]) -> dict[str, float | None]:
    """What a metric derives from real photographs (see `MetricBase.calibration`); empty for most."""
    own = getattr(metric, "calibration", None)
    return {} if own is None else dict(own(real))


def measure_rest(metric: SetMetric, generated: Features, real: Features, rest: NDArray[np.bool_]) -> Score:
    """The score of the rows `rest` of a set (see `MetricBase.measure_rest`)."""
    own = getattr(metric, "measure_rest", None)
    score: Score = metric.measure(generated[rest], real) if own is None else own(generated, real, rest)
    return score


def optional_member(metric: SampleMetric, member: str) -> Any:
    """An optional member, with its default for classes that do not derive from `MetricBase`."""
    return getattr(metric, member, getattr(MetricBase, member))
