"""Columns about the prompt: does the picture show what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from metrics.encoders.protocols import Attributes, TextMatcher
from metrics.interface import Better, Features, RealPhoto, Sample, Score
from metrics.scores.reasons import NOT_FINITE, sound

HAIR = ("style", "hair")
"""What a hat may hide, so that it is not judged beside one."""


@dataclass(frozen=True)
class AttributeMatch:
    """Share of the attributes asked for that the classifier sees, 0..1; none where nothing is asked.

    Not judged are attributes it has no head for, and, beside a hat that is asked for, style and colour of the
    hair, which the hat may hide. A value that it was never taught, such as a purple hat, gives no score.
    """

    classifier: Attributes
    name: ClassVar[str] = "prompt-match"
    better: ClassVar[Better] = "higher"

    @property
    def encoder(self) -> str:
        return self.classifier.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.classifier.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        seen = self.classifier.describe([sample.image for sample in samples])
        return [
            self._score(sample.expected_attributes, shown)
            for sample, shown in zip(samples, seen, strict=True)
        ]

    def _score(self, expected_attributes: Mapping[str, str], shown: Mapping[str, str]) -> Score:
        classes = self.classifier.classes
        known = {name: value for name, value in expected_attributes.items() if name in classes}
        strange = [f"{name}={value}" for name, value in known.items() if value not in classes[name]]
        if strange:
            return Score(None, f"the classifier does not know {', '.join(strange)}")
        hatted = expected_attributes.get("hat", "none") != "none"
        judged = [name for name in known if not (hatted and name in HAIR)]
        if not judged:
            return Score(None, "the prompt asks for nothing the classifier can judge")
        if not shown:
            return Score(None, NOT_FINITE)
        return Score(sum(shown[name] == expected_attributes[name] for name in judged) / len(judged))


@dataclass(frozen=True)
class TextMatch:
    """Cosine between picture and prompt, -1..1: CLIP-T as DreamBench has it, not scaled, not clipped."""

    network: TextMatcher
    name: ClassVar[str] = "prompt-match"
    better: ClassVar[Better] = "higher"

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.network.fingerprint

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not looked at."""
        if not samples:
            return []
        seen = self.network.encode([sample.image for sample in samples])
        read = self.network.read([sample.prompt for sample in samples])
        return [_cosine(picture, text) for picture, text in zip(seen, read, strict=True)]


def _cosine(picture: Features, text: Features) -> Score:
    whole = sound(picture) and sound(text)
    return Score(float(picture @ text)) if whole else Score(None, NOT_FINITE)
