"""Events that the generator yields."""

from dataclasses import dataclass

from bench.runs.plan import Cell


@dataclass(frozen=True)
class Fitted:
    """A person has been fitted."""

    method: str
    identity: str
    seconds: float


@dataclass(frozen=True)
class Generated:
    """A picture is there that was not."""

    cell: Cell
    seconds: float


@dataclass(frozen=True)
class Skipped:
    """The picture was there already, made in the same way."""

    cell: Cell


@dataclass(frozen=True)
class Failed:
    """No picture, and why."""

    cell: Cell
    reason: str


Event = Fitted | Generated | Skipped | Failed
