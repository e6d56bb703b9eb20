"""What training reads: photographs of many people with captions, as arrays."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Descriptions(Protocol):
    """What is known of the person on each photograph, as numbers of about mean 0 and deviation 1."""

    @property
    def numbers(self) -> NDArray[np.float32]:
        """N x D; equal in rows of one person."""
        ...

    @property
    def groups(self) -> tuple[int, ...]:
        """How many neighbouring columns belong together; they add up to D."""
        ...


class TrainingSet(Protocol):
    """Captioned photographs of many people. Rows of one person need not be neighbours."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """All photographs, N x size x size x 3, RGB; may be memory-mapped.

        Trainers of adapters ask for nothing but its length and slices of rows, so it need not be in memory.
        """
        ...

    @property
    def identities(self) -> NDArray[np.int64]:
        """The person of each row, as numbers from 0."""
        ...

    @property
    def descriptions(self) -> Descriptions | None:
        """None where nothing is known of the people but photographs and captions."""
        ...

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        """A true caption of the photograph (or of its mirror image), clauses dropped at random."""
        ...

    def template(self, row: int, *, mirrored: bool) -> str:
        """The photograph's full caption with the slot `{subject}` unfilled."""
        ...

    def noun(self, row: int) -> str:
        """The person's class noun: `man` or `woman`."""
        ...
