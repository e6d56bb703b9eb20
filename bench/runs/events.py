"""Events of a run, yielded while images are generated."""

from dataclasses import dataclass

from bench.runs.plan import Cell


@dataclass(frozen=True)
class Fitted:
    """One identity has been fitted by one method."""

    method: str
    identity: str
    seconds: float


@dataclass(frozen=True)
class Generated:
    """A missing image has been generated."""

    cell: Cell
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """The image already exists, with the same fingerprint."""

    cell: Cell


@dataclass(frozen=True)
class Failed:
    """The image could not be generated."""

    cell: Cell
    reason: str


Event = Fitted | Generated | Skipped | Failed
