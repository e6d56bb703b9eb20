"""What a row of the table may change for any method: how many photographs it sees, a bad one, the guidance.

In a suite, `references`, `spoil` and `guidance` stand among a row's settings and are the harness's own, so
that every method can be asked the same question: with two photographs? with a stranger among four?
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bench.errors import SuiteError, nearest
from bench.subjects.corruptions import CORRUPTIONS
from bench.subjects.identity import Identity, PhotoFile

STRANGER: Final = "wrong-person"
KINDS: Final = (*CORRUPTIONS, STRANGER)


@dataclass(frozen=True)
class ReferenceSelection:
    """Which references a row's method sees."""

    references: int | None = None
    """The first so many; all without it."""
    corruption: str = ""
    """How the last of them is bad: a name of `KINDS`; good without it."""

    def of(self, who: Identity, people: Sequence[Identity]) -> Identity:
        """The person as this row's method is shown them; the held-out photographs stay.

        `people` is everybody in the run: the stranger is the next of them. Raises SuiteError where there
        are not enough photographs or people.
        """
        references = who.references[: self.references]
        if self.references is not None and self.references > len(who.references):
            raise SuiteError(f"references = {self.references}, {who.id} has {len(who.references)}")
        if self.corruption and not references:
            raise SuiteError(f"spoil = {self.corruption!r}: {who.id} has no reference photo to spoil")
        if self.corruption:
            references = (*references[:-1], self._corrupted(references[-1], who, people))
        return replace(who, references=references)

    def _corrupted(self, photo: PhotoFile, who: Identity, people: Sequence[Identity]) -> PhotoFile:
        if self.corruption != STRANGER:
            return replace(photo, corruption=self.corruption)
        ids = [other.id for other in people]
        stranger = people[(ids.index(who.id) + 1) % len(people)]
        if stranger.id == who.id or not stranger.references:
            raise SuiteError(f"spoil = {STRANGER!r}: the run has nobody else with reference photos")
        return stranger.references[0]


@dataclass(frozen=True)
class RowSettings:
    """A row's settings: those the harness sees to, and the method's own."""

    shown: ReferenceSelection
    guidance: float | None
    """The guidance scale its pictures are drawn by; the suite's without it."""
    own: dict[str, Any]


def row_settings_of(label: str, settings: Mapping[str, Any]) -> RowSettings:
    """Sort a row's settings. Raises SuiteError for a value that cannot be."""
    own = dict(settings)
    references, corruption, guidance = (
        own.pop("references", None),
        own.pop("corruption", ""),
        own.pop("guidance", None),
    )
    if references is not None and (type(references) is not int or references < 1):
        raise SuiteError(f"methods: {label}: references = {references!r}; wanted is a number of at least 1")
    if corruption and corruption not in KINDS:
        raise SuiteError(f"methods: {label}: unknown spoil {corruption!r}; {nearest(str(corruption), KINDS)}")
    if guidance is not None and (type(guidance) not in (int, float) or not guidance >= 1):
        raise SuiteError(
            f"methods: {label}: guidance = {guidance!r}; wanted is a number of at least 1, where 1 is none"
        )
    return RowSettings(ReferenceSelection(references, corruption), guidance, own)
