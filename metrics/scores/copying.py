"""Face metrics of copying: similarity to the photographs shown to the method, and to those not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from metrics.interface import Better, RealPhoto, Sample, Score
from metrics.scores.identity import Identity, mean_cosines, valid_vectors
from metrics.statistics.copy_paste import copy_paste


@dataclass(frozen=True)
class Copying(Identity):
    """Mean cosine to the photographs shown to the method, minus that to other photographs of the person.

    About 0 for a method that learnt the person, above 0 for one that copies its input. None without a face,
    or where one kind of photograph is missing. A copy of one of K references has about 1 / K of the value of
    a copy of a single one; `CopyPaste` does not depend on K.
    """

    name: ClassVar[str] = "copying"
    better: ClassVar[Better] = "lower"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        references = [sample.references for sample in samples]
        shown = mean_cosines(self.network, samples, references, "reference")
        unseen = mean_cosines(self.network, samples, [sample.held_out for sample in samples])
        return [_difference(a, b) for a, b in zip(shown, unseen, strict=True)]


@dataclass(frozen=True)
class SimGt(Identity):
    """Sim(GT) of MultiID-Bench (Xu et al. 2025): mean cosine to the held-out photographs, as `Identity`."""

    name: ClassVar[str] = "sim-gt"


@dataclass(frozen=True)
class SimRef(Identity):
    """Sim(Ref) of MultiID-Bench (Xu et al. 2025): mean cosine to the photographs shown to the method.

    A high value can mean likeness or copying; compare it with `SimGt`.
    """

    name: ClassVar[str] = "sim-ref"
    better: ClassVar[Better] = "neither"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        return mean_cosines(self.network, samples, [sample.references for sample in samples], "reference")


@dataclass(frozen=True)
class CopyPaste(Identity):
    """Copy-Paste of MultiID-Bench (Xu et al. 2025, arXiv 2510.14975) by angles, -1..1.

    (a(image, t) - a(image, r)) / a(r, t), with r the nearest reference and t the nearest of equally many
    held-out photographs; see `copy_paste`. 1 is an exact copy of a reference, 0 no closer to the references
    than to other photographs. None without a face, or where one kind of photograph is missing.
    """

    name: ClassVar[str] = "copy-paste"
    better: ClassVar[Better] = "lower"

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        """One score per sample; `real` is not used."""
        references = [sample.references for sample in samples]
        shown = valid_vectors(self.network, samples, references, "reference")
        unseen = valid_vectors(self.network, samples, [sample.held_out for sample in samples], "held-out")
        return [
            Score(None, reason or other_reason)
            if reason or other_reason
            else Score(copy_paste(vector, own, others))
            for (vector, own, reason), (_, others, other_reason) in zip(shown, unseen, strict=True)
        ]


def _difference(one: Score, other: Score) -> Score:
    if one.value is None or other.value is None:
        return Score(None, one.reason or other.reason)
    return Score(one.value - other.value)
