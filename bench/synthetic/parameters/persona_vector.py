"""A synthetic person as a vector of renderer parameters, in more detail than any caption.

The side of the parting is left out, because it changes in a mirrored photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from bench.synthetic.parameters.persona import Age, Beard, Eyes, HairColour, Noun, Persona, Skin, Style

MAX_DEVIATIONS: Final = 4.0
"""Values are clipped to this number of standard deviations, which limits rare traits."""


@dataclass(frozen=True)
class Descriptions:
    """Implements `methods.pretraining.dataset.Descriptions`."""

    numbers: NDArray[np.float32]
    groups: tuple[int, ...]


def describe(people: Sequence[Persona]) -> Descriptions:
    """One row per person; columns have mean 0 and standard deviation 1 over `people` (0 if constant)."""
    by_group = [np.array([traits(persona) for persona in people], np.float64) for traits in GROUPS.values()]
    columns = np.concatenate(by_group, axis=1)
    spread = columns.std(0)
    scaled = (columns - columns.mean(0)) / np.where(spread > 0, spread, 1)
    numbers = scaled.clip(-MAX_DEVIATIONS, MAX_DEVIATIONS).astype(np.float32)
    return Descriptions(numbers, tuple(part.shape[1] for part in by_group))


def local_shapes(persona: Persona, *prefixes: str) -> list[float]:
    """Weights of the local shape targets whose names start with one of `prefixes`."""
    return [amount for name, amount in sorted(persona.amounts.items()) if name.startswith(prefixes)]


def one_hot(label: str, labels: object) -> list[float]:
    """One-hot encoding of `label` among the values of the Literal type `labels`."""
    return [float(label == other) for other in get_args(labels)]


def _skin(persona: Persona) -> list[float]:
    return [
        *one_hot(persona.skin, Skin),
        persona.skin_tone,
        *persona.skin_tint,
        persona.freckles,
        persona.blush,
    ]


def _age(persona: Persona) -> list[float]:
    body = persona.phenotype
    built = (body.femininity, body.ageing, body.weight, *body.ancestry, persona.wrinkles)
    return [*one_hot(persona.noun, Noun), *one_hot(persona.age, Age), *built]


GROUPS: Final[Mapping[str, Callable[[Persona], list[float]]]] = {
    "nose": lambda persona: local_shapes(persona, "nose"),
    "eye": lambda persona: [*local_shapes(persona, "eye-"), *one_hot(persona.eyes, Eyes)],
    "brow": lambda persona: [*local_shapes(persona, "eyebrow"), *asdict(persona.brows).values()],
    "mouth": lambda persona: [*local_shapes(persona, "mouth"), persona.lip_redness, persona.lipstick],
    "chin": lambda persona: local_shapes(persona, "chin"),
    "cheek": lambda persona: local_shapes(persona, "cheek"),
    "head": lambda persona: local_shapes(persona, "head", "forehead"),
    "outline": lambda persona: local_shapes(persona, "ear", "neck", "measure"),
    "skin": _skin,
    "hair": lambda persona: [*one_hot(persona.hair, HairColour), persona.hair_tint],
    "style": lambda persona: [
        *one_hot(persona.style, Style),
        persona.hairline,
        persona.volume,
        persona.length,
    ],
    "beard": lambda persona: one_hot(persona.beard, Beard),
    "age": _age,
}
