"""Tasks for the executors."""

from dataclasses import dataclass

from bench.runs.fingerprint import FingerprintParts
from bench.runs.plan import Group
from bench.subjects.identity import Identity
from methods.interface import Method


@dataclass(frozen=True)
class GroupTask:
    """One group of images with everything needed to generate them; can be pickled."""

    group: Group
    who: Identity
    """The identity, with the references that this row's method receives."""
    method: Method
    fingerprint_parts: FingerprintParts
    batch: int
    """Images generated at once."""
    run_seed: int
    selected: frozenset[str]
    """Ids of the group's cells that are selected in this run."""
    overwrite: bool
    """Repeat existing fits and images."""
    guidance: float | None = None
    """Guidance scale of this row; None for the backbone's own."""
    missing: frozenset[str] = frozenset()
    """Ids of the cells to generate now."""
