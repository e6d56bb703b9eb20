"""The training set that the trainers read: captioned photographs of many people, as arrays."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Descriptions(Protocol):
    """Numeric attributes of the person in each photograph, standardised to mean 0 and deviation 1."""

    @property
    def numbers(self) -> NDArray[np.float32]:
        """N x D; equal in rows of one person."""
        ...

    @property
    def groups(self) -> tuple[int, ...]:
        """Sizes of the groups of adjacent columns; they add up to D."""
        ...


class TrainingSet(Protocol):
    """Captioned photographs of many people. Rows of one person need not be adjacent.

    A class may have `content_key`, a text that changes with any photograph or caption; without it, cached
    features are named by the pixels themselves, which are read at every start.
    """

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All photographs, N x size x size x 3, RGB; may be memory-mapped.

        Adapter trainers use only its length and slices of rows, so it need not be in memory.
        """
        ...

    @property
    def identities(self) -> NDArray[np.int64]:
        """The person of each row, numbered from 0."""
        ...

    @property
    def descriptions(self) -> Descriptions | None:
        """None where photographs and captions are the only data."""
        ...

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        """A true caption of the photograph (or of its mirror image), with clauses dropped at random."""
        ...

    def template(self, row: int, *, mirrored: bool) -> str:
        """The photograph's full caption with the unfilled placeholder `{subject}`."""
        ...

    def noun(self, row: int) -> str:
        """The person's class noun: `man` or `woman`."""
        ...

    def original_size(self, row: int) -> tuple[int, int]:
        """Height and width of the photograph in pixels, before its central square was cut and resized."""
        ...
