"""One group of images to generate, with everything needed to generate them."""

from dataclasses import dataclass

from bench.runs.fingerprint import FingerprintParts
from bench.runs.plan import Group
from bench.subjects.identity import Identity
from methods.interface import Method


@dataclass(frozen=True)
class GroupTask:
    """One person and one method, with all that is needed to generate their images; it can be pickled."""

    group: Group
    who: Identity
    """The person with the references that this row shows to its method."""
    method: Method
    fingerprint_parts: FingerprintParts
    batch: int
    """Images generated at once."""
    run_seed: int
    wanted: frozenset[str]
    """Ids of the cells chosen in this run."""
    overwrite: bool
    """Fit and generate again what exists."""
    guidance: float | None = None
    """Guidance scale of this row; None for the backbone's own."""
    missing: frozenset[str] = frozenset()
    """Ids of the cells to generate now."""
