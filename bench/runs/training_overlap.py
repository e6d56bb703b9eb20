"""The leak ledger: what a method was conditioned on, and on whom networks were trained, against this run."""

from collections.abc import Collection, Iterable
from typing import Final

TRAINED_ON: Final = "trained on"
"""The part of a metric's fingerprint that names its network's training data, joined by commas."""


def overlapping_names(trained: Iterable[str], people: Collection[str]) -> list[str]:
    """The names among `trained` that mean people of this run, or a set which holds some of them.

    `people` are names such as `celeba-train/2880`. A longer name is a part of the shorter one:
    `celeba`, `celeba-train` and `celeba-train/2880` hold that person, `celeba-test` does not.
    """
    return [name for name in trained if name and any(_meet(name, person) for person in people)]


def names_in(text: str) -> list[str]:
    """The names of a fingerprint's part."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _meet(name: str, other: str) -> bool:
    """Whether one is the other, or a part of it."""
    short, long = sorted((name, other), key=len)
    return long.startswith(short) and (len(long) == len(short) or long[len(short)] in "-/")
