"""A synthetic person as numbers: what the renderer knows and no caption says.

All but the side of the parting, which is another in a mirrored photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from bench.synthetic.parameters.persona import Age, Beard, Eyes, HairColour, Noun, Persona, Skin, Style

FARTHEST: Final = 4.0
"""Deviations; a rare trait is not told louder than this."""


@dataclass(frozen=True)
class Descriptions:
    """Implements `methods.pretraining.dataset.Descriptions`."""

    numbers: NDArray[np.float32]
    groups: tuple[int, ...]


def describe(people: Sequence[Persona]) -> Descriptions:
    """One row for each of them, columns of mean 0 and deviation 1 over them (0 where they do not differ)."""
    by_group = [np.array([traits(who) for who in people], np.float64) for traits in GROUPS.values()]
    columns = np.concatenate(by_group, axis=1)
    spread = columns.std(0)
    scaled = (columns - columns.mean(0)) / np.where(spread > 0, spread, 1)
    numbers = scaled.clip(-FARTHEST, FARTHEST).astype(np.float32)
    return Descriptions(numbers, tuple(part.shape[1] for part in by_group))


def local_shapes(who: Persona, *prefixes: str) -> list[float]:
    """How far the local shape targets of these names are applied."""
    return [amount for name, amount in sorted(who.amounts.items()) if name.startswith(prefixes)]


def one_hot(label: str, labels: object) -> list[float]:
    """A class as zeros and a one."""
    return [float(label == other) for other in get_args(labels)]


def _skin(who: Persona) -> list[float]:
    return [*one_hot(who.skin, Skin), who.skin_tone, *who.skin_tint, who.freckles, who.blush]


def _age(who: Persona) -> list[float]:
    body = who.phenotype
    built = (body.femininity, body.ageing, body.weight, *body.ancestry, who.wrinkles)
    return [*one_hot(who.noun, Noun), *one_hot(who.age, Age), *built]


GROUPS: Final[Mapping[str, Callable[[Persona], list[float]]]] = {
    "nose": lambda who: local_shapes(who, "nose"),
    "eye": lambda who: [*local_shapes(who, "eye-"), *one_hot(who.eyes, Eyes)],
    "brow": lambda who: [*local_shapes(who, "eyebrow"), *asdict(who.brows).values()],
    "mouth": lambda who: [*local_shapes(who, "mouth"), who.lip_redness, who.lipstick],
    "chin": lambda who: local_shapes(who, "chin"),
    "cheek": lambda who: local_shapes(who, "cheek"),
    "head": lambda who: local_shapes(who, "head", "forehead"),
    "outline": lambda who: local_shapes(who, "ear", "neck", "measure"),
    "skin": _skin,
    "hair": lambda who: [*one_hot(who.hair, HairColour), who.hair_tint],
    "style": lambda who: [*one_hot(who.style, Style), who.hairline, who.volume, who.length],
    "beard": lambda who: one_hot(who.beard, Beard),
    "age": _age,
}
