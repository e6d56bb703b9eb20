"""Row settings of the harness: number of references, a corrupted reference, guidance scale, checkpoint.

In a suite, `references`, `corruption`, `guidance` and `checkpoint` are given next to a method's own settings.
The harness applies them, so all methods can be compared with two photographs, or with one photograph of
another person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bench.errors import SuiteError, nearest
from bench.subjects.corruptions import CORRUPTIONS
from bench.subjects.identity import Identity, PhotoFile

WRONG_PERSON: Final = "wrong-person"
CHECKPOINT: Final = "checkpoint"
KINDS: Final = (*CORRUPTIONS, WRONG_PERSON)
"""Values of `corruption`."""


@dataclass(frozen=True)
class ReferenceSelection:
    """The references that a row's method receives."""

    references: int | None = None
    """Number of references to keep, from the first; None: all."""
    corruption: str = ""
    """How the last kept reference is corrupted, one of `KINDS`; empty: not at all."""

    def of(self, who: Identity, people: Sequence[Identity]) -> Identity:
        """The identity with this row's references; the held-out photographs are unchanged.

        `people` are all identities of the run; `wrong-person` takes its photograph from the next one.
        Raises SuiteError if there are too few photographs or identities.
        """
        references = who.references[: self.references]
        if self.references is not None and self.references > len(who.references):
            raise SuiteError(
                f"references = {self.references}, {who.id} has {len(who.references)}; lower it, or raise "
                "references of [dataset]"
            )
        if self.corruption and not references:
            raise SuiteError(
                f"corruption = {self.corruption!r}: {who.id} has no reference photo to corrupt; leave it out"
            )
        if self.corruption:
            references = (*references[:-1], self._corrupted(references[-1], who, people))
        return replace(who, references=references)

    def _corrupted(self, photo: PhotoFile, who: Identity, people: Sequence[Identity]) -> PhotoFile:
        if self.corruption != WRONG_PERSON:
            return replace(photo, corruption=self.corruption)
        ids = [other.id for other in people]
        following = people[(ids.index(who.id) + 1) % len(people)]
        if following.id == who.id or not following.references:
            raise SuiteError(
                f"corruption = {WRONG_PERSON!r}: the run has no other person with reference photos; leave "
                "it out, or add people"
            )
        return following.references[0]


@dataclass(frozen=True)
class RowSettings:
    """A row's settings, divided into those of the harness and those of the method."""

    selection: ReferenceSelection
    guidance: float | None
    """Guidance scale of the row's images; None: the suite's."""
    checkpoint: int | None
    """Number of steps after which the fit's state generates the row's images; None: after all."""
    own: dict[str, Any]
    """Settings of the method itself, with `base`."""


def row_settings_of(label: str, settings: Mapping[str, Any]) -> RowSettings:
    """Divide and check a row's settings. Raises SuiteError for an invalid value."""
    own = dict(settings)
    references, corruption = own.pop("references", None), own.pop("corruption", "")
    guidance, checkpoint = own.pop("guidance", None), own.pop(CHECKPOINT, None)
    where = f"methods: {label}"
    if references is not None and (type(references) is not int or references < 1):
        raise SuiteError(f"{where}: references = {references!r}; expected an integer of at least 1")
    if corruption and corruption not in KINDS:
        raise SuiteError(f"{where}: unknown corruption {corruption!r}; {nearest(str(corruption), KINDS)}")
    if guidance is not None and (type(guidance) not in (int, float) or not 1 <= guidance <= 1000):
        raise SuiteError(
            f"{where}: guidance = {guidance!r}; expected a number from 1 to 1,000; 1 is no guidance"
        )
    if checkpoint is not None and (type(checkpoint) is not int or checkpoint < 1):
        raise SuiteError(f"{where}: checkpoint = {checkpoint!r}; expected a number of steps of at least 1")
    return RowSettings(ReferenceSelection(references, corruption), guidance, checkpoint, own)
