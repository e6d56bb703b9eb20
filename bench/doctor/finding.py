"""Findings of `bench doctor`: one requirement of a suite and whether it is met."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Whether a requirement is met."""

    found = "found"
    note = "note"
    """Met, with a remark."""
    missing = "missing"


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    kind: str
    """`package`, `machine`, `dataset`, `backbone`, `method`, `metric`."""
    what: str
    state: State
    detail: str
    """Location and version; if missing, what was searched and what to do."""
    source: str = ""
    """How to obtain what is missing, as written in the suite; often a command."""

    @property
    def met(self) -> bool:
        """Whether the requirement is met, with or without a remark."""
        return self.state is not State.missing


def found(kind: str, what: str, detail: str) -> Finding:
    """A requirement that is met."""
    return Finding(kind, what, State.found, detail)


def missing(kind: str, what: str, error: object) -> Finding:
    """A requirement that is not met; the error is reduced to one line."""
    return Finding(kind, what, State.missing, " ".join(str(error).split()))
