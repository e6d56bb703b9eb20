"""What `bench doctor` finds out: one need of a suite, and whether it is met."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Whether a need is met."""

    found = "found"
    note = "note"
    """Met, but worth knowing."""
    missing = "missing"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    kind: str
    """`package`, `machine`, `dataset`, `backbone`, `method`, `metric`."""
    what: str
    state: State
    detail: str
    """Where it is and which; where it is missing, what was looked for and what to do."""
    source: str = ""
    """Of what is missing: the suite's own words on how to get it, often a command."""

    @property
    def met(self) -> bool:
        """Whether the suite can run, as far as this goes."""
        return self.state is not State.missing


def found(kind: str, what: str, detail: str) -> Finding:
    """A need that is met."""
    return Finding(kind, what, State.found, detail)


def missing(kind: str, what: str, error: object) -> Finding:
    """A need that is not met, in one line."""
    return Finding(kind, what, State.missing, " ".join(str(error).split()))
