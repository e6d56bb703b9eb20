"""Training overlap: whether the training data of a method or metric contains people of the run."""

from collections.abc import Collection, Iterable
from typing import Final

TRAINED_ON: Final = "trained on"
"""The part of a metric's fingerprint that names its encoder's training data, joined by commas."""
WHOLE: Final = "-all"
"""End of the name of a dataset with all of its partitions."""


def overlapping_names(trained_on: Iterable[str], people: Collection[str]) -> list[str]:
    """The names among `trained_on` that denote people of this run, or a dataset that contains some of them.

    A name is a dataset, optionally with a partition, a person and a photograph: `celeba`, `celeba-train`,
    `celeba-train/2880`. A longer name is a part of the shorter one: `celeba` and `celeba-train` contain
    `celeba-train/2880`, `celeba-test` does not. `celeba-all` is the whole of `celeba`, so it contains every
    partition. A person of `celeba-all` may be in any partition, and overlaps with each of them.
    """
    return [name for name in trained_on if name and any(_overlap(name, person) for person in people)]


def names_in(text: str) -> list[str]:
    """Split names at commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _overlap(one: str, other: str) -> bool:
    """Whether the names may denote a common person; symmetric."""
    (dataset, _, person), (other_dataset, _, other_person) = one.partition("/"), other.partition("/")
    if not (dataset and other_dataset):
        return False
    same_dataset = _nested(dataset.removesuffix(WHOLE), other_dataset.removesuffix(WHOLE), "-")
    return same_dataset and _nested(person, other_person, "/")


def _nested(one: str, other: str, separator: str) -> bool:
    """Whether one name begins with all parts of the other; the empty name begins every name."""
    short, long = sorted((one, other), key=len)
    return not short or f"{long}{separator}".startswith(f"{short}{separator}")
