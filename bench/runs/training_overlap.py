"""Training overlap: whether the training data of a method or metric contains people of the run."""

from collections.abc import Collection, Iterable
from typing import Final

TRAINED_ON: Final = "trained on"
"""The part of a metric's fingerprint that names its encoder's training data, joined by commas."""


def overlapping_names(trained_on: Iterable[str], people: Collection[str]) -> list[str]:
    """The names among `trained_on` that denote people of this run, or a dataset that contains some of them.

    `people` are names such as `celeba-train/2880`. A longer name is a part of the shorter one:
    `celeba`, `celeba-train` and `celeba-train/2880` contain that person, `celeba-test` does not.
    """
    return [name for name in trained_on if name and any(_overlap(name, person) for person in people)]


def names_in(text: str) -> list[str]:
    """Split names at commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _overlap(name: str, other: str) -> bool:
    """Whether the names are equal, or one is a part of the other."""
    short, long = sorted((name, other), key=len)
    return long.startswith(short) and (len(long) == len(short) or long[len(short)] in "-/")
