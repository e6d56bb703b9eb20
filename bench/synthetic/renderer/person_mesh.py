"""Meshes and texture of a persona, reused for all its photographs."""

from dataclasses import dataclass

import numpy as np

from bench.synthetic.geometry.array_math import smoothstep, vector
from bench.synthetic.geometry.head_model import Floats, Head, Part, load_head
from bench.synthetic.parameters.persona import Persona
from bench.synthetic.renderer.accessories import make_glasses, make_hat
from bench.synthetic.renderer.hair import Dome, Piece, fit_dome, hair_pieces, scalp_lift
from bench.synthetic.renderer.rasterizer import vertex_normals
from bench.synthetic.renderer.skin_texture import SkinTexture, bake_skin, texel

HEAD_HEIGHT = 2.15
EYE_DEPTH = 1.19


@dataclass(frozen=True)
class Person:
    """Everything of a person that does not depend on the shot.

    The head is upright, with the crown 2.15 above the chin and the middle of the eyes at (0, 0, 1.19).
    """

    persona: Persona
    head: Head
    scale: float
    placed: Floats
    normals: Floats
    hair_lift: Floats
    beard_lift: Floats
    texture: SkinTexture
    dome: Dome
    hair: tuple[Piece, ...]
    hat: Piece
    glasses: Piece


def make_person(persona: Persona) -> Person:
    """Build one person; takes about as long as rendering a few photographs."""
    head = load_head()
    placed = head.vertices(persona.phenotype, persona.amounts)
    scale = HEAD_HEIGHT / _head_height(head, placed)
    placed *= np.float32(scale)
    left, right = head.eye(placed, Part.LEFT_EYE), head.eye(placed, Part.RIGHT_EYE)
    placed -= (left + right) / 2 - vector(0, 0, EYE_DEPTH)
    if persona.style in ("bob", "long"):
        placed = _flat_ears(head, placed)
    texture = bake_skin(persona)
    dome = fit_dome(head, placed)
    left, right = head.eye(placed, Part.LEFT_EYE), head.eye(placed, Part.RIGHT_EYE)
    front = float(placed[head.vertex_part == Part.LEFT_EYE, 2].max())
    return Person(
        persona=persona,
        head=head,
        scale=scale,
        placed=placed,
        normals=vertex_normals(placed, head.skin_triangles),
        hair_lift=scalp_lift(persona, head, placed),
        beard_lift=_beard_lift(persona, head, texture),
        texture=texture,
        dome=dome,
        hair=hair_pieces(persona, head, placed, dome),
        hat=make_hat(dome),
        glasses=make_glasses(left, right, front, _temple(head, placed)),
    )


def _head_height(head: Head, placed: Floats) -> float:
    x, y, z = head.neutral.T
    chin = (np.abs(x) < 0.1) & (y < -0.9) & (y > -1.15) & (z > 1.1)
    skin = head.vertex_part == Part.SKIN
    return float(placed[skin, 1].max() - placed[skin & chin, 1].min())


def _temple(head: Head, placed: Floats) -> float:
    x, y, z = np.abs(head.neutral).T
    region = (head.vertex_part == Part.SKIN) & (x < 0.8) & (y < 0.2) & (z > 0.55) & (z < 0.9)
    return float(np.abs(placed[region, 0]).max())


def _flat_ears(head: Head, placed: Floats) -> Floats:
    """Move the ears towards the head, as below hair that covers them."""
    ears = smoothstep(0.76, 0.86, np.abs(head.neutral[:, 0])) * (head.neutral[:, 1] > -0.7)
    pressed = placed.copy()
    pressed[:, 0] *= 1 - 0.12 * ears
    return pressed


def _beard_lift(persona: Persona, head: Head, texture: SkinTexture) -> Floats:
    if persona.beard != "full":
        return np.zeros(len(head.neutral), np.float32)
    column, row = texel(head.angle, head.neutral[:, 1])
    height, width = texture.beard.shape
    rows = np.clip(row.astype(int), 0, height - 1)
    grown = texture.beard[rows, np.clip(column.astype(int), 0, width - 1)]
    skin = head.vertex_part == Part.SKIN
    lift: Floats = grown * 0.09 * smoothstep(-0.6, -1.0, head.neutral[:, 1]) * skin
    return lift
