"""Tasks for the executors."""

from dataclasses import dataclass

from bench.runs.fingerprint import FingerprintParts
from bench.runs.plan import Group
from bench.subjects.identity import Identity
from methods.interface import Method


@dataclass(frozen=True)
class FitState:
    """A row's part of a fit: the state after some steps, or after all."""

    row: str
    checkpoint: int | None
    """Number of steps; None for all."""
    fingerprint_parts: FingerprintParts


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
    checkpoint: int | None = None
    """Number of steps after which the fit's state generates this row; None for all."""
    missing: frozenset[str] = frozenset()
    """Ids of the cells to generate now."""
    states: tuple[FitState, ...] = ()
    """The states of one fit that rows with missing images use; empty where this row has a fit of its own."""
    session: str = ""
    """Name of this run of the command: with `overwrite`, rows that share a fit repeat it once."""
