"""What a metric is: it looks at pictures and gives each, or a set of them, a number it has a right to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

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
    """One generated picture and all that a metric may know of it; never the method's own token."""

    id: str
    identity: str
    prompt_id: str
    image: Image
    prompt: str
    """The prompt with the plain noun phrase in the subject's place."""
    expected_attributes: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes the prompt asks for, such as `{"glasses": "black", "background": "blue"}`."""
    held_out: tuple[Image, ...] = ()
    """Photographs of the same person that no method has seen."""
    references: tuple[Image, ...] = ()
    """The photographs the method did see."""
    person: bool = True
    """False for a thing or an animal, of which metrics of faces say nothing."""
    own: Image | None = None
    """For a picture of somebody else: what the backbone alone draws from the same prompt and seed."""


@dataclass(frozen=True)
class RealPhoto:
    """A held-out photograph, for calibration and as the real side of set metrics."""

    identity: str
    image: Image


class Encoder(Protocol):
    """A network that turns a picture into numbers. Pixels in are RGB, any size."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What the numbers depend on: weights (sha256), library versions, detector size, resize mode."""
        ...

    def encode(self, images: Sequence[Image]) -> Features:
        """One row per picture.

        A row of NaN says that there is nothing for the encoder to see (no face); any other row that is not
        finite, that the network's numbers came out so, a row of infinities where its vector has no length.
        """
        ...


class SampleMetric(Protocol):
    """Scores each picture of one method; the table shows the mean over pictures with an interval."""

    @property
    def name(self) -> str:
        """Column name without the network: `identity`."""
        ...

    @property
    def encoder(self) -> str:
        """The network behind the number, shown in the column's header: `sface`."""
        ...

    @property
    def better(self) -> Better: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample, in order. `real` holds held-out photographs of several people."""
        ...


class PriorMetric(SampleMetric, Protocol):
    """Scores pictures of somebody else, drawn after fitting without the subject's slot, beside the backbone's
    own. It sees no other pictures, and no other metric sees these."""

    @property
    def of_priors(self) -> Literal[True]: ...


class SetMetric(Protocol):
    """Scores a whole set of pictures against a set of real ones; features apart from statistic, so that
    intervals can be bootstrapped without a second pass."""

    @property
    def name(self) -> str: ...

    @property
    def encoder(self) -> str: ...

    @property
    def better(self) -> Better: ...

    @property
    def fingerprint(self) -> Mapping[str, str]: ...

    def features(self, images: Sequence[Image]) -> Features:
        """One row per picture."""
        ...

    def measure(self, generated: Features, real: Features) -> Score: ...


class MetricError(Exception):
    """A metric cannot be computed; the message says what is missing, where it was looked for, what to do."""
