"""Prompt metrics: agreement between the image and what the prompt requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from metrics.encoders.protocols import Attributes, TextMatcher
from metrics.interface import Better, Features, RealPhoto, Sample, Score
from metrics.scores.encoder_metric import EncoderMetric
from metrics.scores.reasons import NOT_FINITE, is_finite

HAIR: Final = ("style", "hair")
"""Attributes that a hat may hide; they are not evaluated if the prompt requests a hat."""


@dataclass(frozen=True)
class AttributeMatch(EncoderMetric[Attributes]):
    """Share of the requested attributes that the classifier predicts, 0..1; none if nothing is requested.

    Two kinds of attribute are not evaluated: those for which the classifier has no head, and hair style and
    colour if the prompt requests a hat, which may hide them. A value outside the classifier's classes, such
    as a purple hat, gives no score.
    """

    name: ClassVar[str] = "prompt-match"
    better: ClassVar[Better] = "higher"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        predictions = self.network.describe([sample.image for sample in samples])
        return [
            self._score(sample.expected_attributes, predicted)
            for sample, predicted in zip(samples, predictions, strict=True)
        ]

    def _score(self, expected: Mapping[str, str], predicted: Mapping[str, str]) -> Score:
        classes = self.network.classes
        known = {name: value for name, value in expected.items() if name in classes}
        unknown = [f"{name}={value}" for name, value in known.items() if value not in classes[name]]
        if unknown:
            return Score(None, f"the classifier has no class for {', '.join(unknown)}")
        hatted = expected.get("hat", "none") != "none"
        evaluated = [name for name in known if not (hatted and name in HAIR)]
        if not evaluated:
            return Score(None, "the prompt requests nothing that the classifier can evaluate")
        if not predicted:
            return Score(None, NOT_FINITE)
        return Score(sum(predicted[name] == expected[name] for name in evaluated) / len(evaluated))


@dataclass(frozen=True)
class TextMatch(EncoderMetric[TextMatcher]):
    """Cosine between image and prompt, -1..1: CLIP-T as in DreamBench, not scaled, not clipped."""

    name: ClassVar[str] = "prompt-match"
    better: ClassVar[Better] = "higher"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        if not samples:
            return []
        images = self.network.encode([sample.image for sample in samples])
        texts = self.network.encode_texts([sample.prompt for sample in samples])
        return [_cosine(image, text) for image, text in zip(images, texts, strict=True)]


def _cosine(image: Features, text: Features) -> Score:
    finite = is_finite(image) and is_finite(text)
    return Score(float(image @ text)) if finite else Score(None, NOT_FINITE)
