"""One group of images to generate, with everything needed to generate them."""

from dataclasses import dataclass

from bench.runs.fingerprint import FingerprintParts
from bench.runs.plan import Group
from bench.subjects.identity import Identity
from methods.interface import Method


@dataclass(frozen=True)
class GroupTask:
    """One person and one method, with all that is needed to draw their pictures; it can be pickled."""

    group: Group
    who: Identity
    method: Method
    fingerprint_parts: FingerprintParts
    batch: int
    """Pictures asked for at once."""
    run_seed: int
    wanted: frozenset[str]
    """Ids of the cells to draw now."""
    overwrite: bool
    """Draw the wanted ones even where they are there."""
    guidance: float | None = None
    """The guidance scale to draw by; the backbone's own without it."""
