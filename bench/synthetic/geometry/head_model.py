"""The blend-shape head model: vertices from a phenotype, local shape weights and facial actions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

Floats = NDArray[np.floating[Any]]
"""Single precision for stored vertices and pixels."""
Ints = NDArray[np.int32]

HEAD_FILE = Path(__file__).parents[1] / "assets" / "head.safetensors"


class Part(IntEnum):
    """The part that a triangle belongs to; the last three are not in the head file."""

    SKIN = 0
    LEFT_EYE = 1
    RIGHT_EYE = 2
    TEETH = 3
    LASHES = 4
    HAIR = 5
    GLASSES = 6
    HAT = 7


@dataclass(frozen=True)
class Phenotype:
    """Whole-body parameters of MakeHuman, each between 0 and 1."""

    femininity: float
    ageing: float
    """0 is an age of 25 years, 1 an age of 90."""
    weight: float
    ancestry: tuple[float, float, float]
    """Weights of the African, Asian and Caucasian targets, with sum 1."""


@dataclass(frozen=True)
class SparseShapes:
    """Named sparse vertex displacements, concatenated in rows."""

    names: tuple[str, ...]
    starts: Ints
    vertices: Ints
    offsets: Floats

    def add(self, amounts: Mapping[str, float], to: Floats) -> None:
        """Add the scaled displacements to `to` in place."""
        for name, amount in amounts.items():
            row = self.names.index(name)
            row_slice = slice(self.starts[row], self.starts[row + 1])
            to[self.vertices[row_slice]] += np.float32(amount) * self.offsets[row_slice]


@dataclass(frozen=True)
class Head:
    """Head, neck and shoulders in decimetres: x to the person's left, y up, z forward, eyes at y = 0."""

    neutral: Floats
    """An average adult; its coordinates also serve as texture coordinates."""
    base: Floats
    corners: Floats
    """Offsets from `base` at the corners of gender x age x ancestry x weight: (2, 2, 3, 3, n, 3)."""
    triangles: Ints
    triangle_part: Ints
    vertex_part: Ints
    lips: Floats
    mouth: Floats
    """Degree to which a vertex belongs to the inside of the mouth, 0..1."""
    shapes: SparseShapes
    actions: SparseShapes

    @property
    def skin_triangles(self) -> Ints:
        skin: Ints = self.triangles[self.triangle_part == Part.SKIN]
        return skin

    @property
    def angle(self) -> Floats:
        """Longitude around the head's axis in the neutral pose, 0 at the nose."""
        return longitude(self.neutral)

    def vertices(self, phenotype: Phenotype, amounts: Mapping[str, float]) -> Floats:
        """Vertices of a person with a neutral face; a negative amount selects the opposite target."""
        placed = self.base + np.tensordot(_corner_weights(phenotype), self.corners, axes=4)
        signed = {f"{name}{'+' if v >= 0 else '-'}": abs(v) for name, v in amounts.items()}
        self.shapes.add(signed, placed)
        return placed

    def eye(self, placed: Floats, side: Part) -> Floats:
        """Centre of an eyeball."""
        centre: Floats = placed[self.vertex_part == side].mean(0)
        return centre


def longitude(points: Floats) -> Floats:
    """Angle around the vertical axis through the middle of the head, 0 at the nose."""
    angle: Floats = np.arctan2(points[..., 0], points[..., 2] - 0.45)
    return angle


@cache
def load_head() -> Head:
    """Read the head model that ships with the package."""
    with safe_open(HEAD_FILE, framework="numpy") as file:
        names = {key: tuple(json.loads(value)) for key, value in file.metadata().items()}
        tensor = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    def shapes(kind: str) -> SparseShapes:
        return SparseShapes(
            names=names[kind],
            starts=tensor[f"{kind}.starts"],
            vertices=tensor[f"{kind}.vertices"].astype(np.int32),
            offsets=tensor[f"{kind}.offsets"].astype(np.float32),
        )

    return Head(
        neutral=tensor["neutral"],
        base=tensor["base"],
        corners=tensor["corners"].astype(np.float32),
        triangles=tensor["triangles"].astype(np.int32),
        triangle_part=tensor["triangle_part"].astype(np.int32),
        vertex_part=tensor["vertex_part"].astype(np.int32),
        lips=tensor["lips"].astype(np.float32),
        mouth=tensor["mouth"].astype(np.float32),
        shapes=shapes("shapes"),
        actions=shapes("actions"),
    )


def _corner_weights(phenotype: Phenotype) -> Floats:
    gender = np.array([1 - phenotype.femininity, phenotype.femininity])
    age = np.array([1 - phenotype.ageing, phenotype.ageing])
    slim, heavy = max(0.0, 1 - 2 * phenotype.weight), max(0.0, 2 * phenotype.weight - 1)
    weight = np.array([slim, 1 - slim - heavy, heavy])
    product = np.einsum("g,a,r,w->garw", gender, age, np.array(phenotype.ancestry), weight)
    weights: Floats = product.astype(np.float32)
    return weights
