"""Unlit surface colours of the visible points."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bench.synthetic.geometry.array_math import blend, bump, linear, smoothstep, unit, vector
from bench.synthetic.geometry.head_model import Floats, Part, load_head, longitude
from bench.synthetic.parameters.persona import EYE_COLOURS
from bench.synthetic.parameters.shot import CLOTH, Shot
from bench.synthetic.renderer.hair import hair_colour
from bench.synthetic.renderer.person_mesh import Person
from bench.synthetic.renderer.rasterizer import Hits, sample_texture
from bench.synthetic.renderer.scene import Scene, shirt_amount
from bench.synthetic.renderer.skin_texture import skin_colour, texel

IRIS = 0.60
"""Angular radius of the iris in radians; larger than natural, to be visible at 64 pixels."""
FRAME_COLOURS = {"black": (0.06, 0.06, 0.07), "red": (0.80, 0.08, 0.12)}


@dataclass(frozen=True)
class Paint:
    """Surface properties of every covered pixel."""

    colour: Floats
    shine: Floats
    skin: Floats
    """Degree to which the surface scatters light like skin, 0..1."""


def paint(person: Person, shot: Shot, scene: Scene, hits: Hits, normals: Floats) -> Paint:
    """Colour the covered pixels by the part they belong to."""
    part = scene.part[hits.triangle]
    colour = np.zeros((len(part), 3), np.float32)
    shine = np.zeros(len(part), np.float32)
    skin = np.zeros(len(part), np.float32)
    on_skin = part == Part.SKIN
    colour[on_skin], shine[on_skin], skin[on_skin] = _paint_skin(person, shot, _only(hits, on_skin))
    for side in (Part.LEFT_EYE, Part.RIGHT_EYE):
        on_eye = part == side
        local = normals[on_eye] @ scene.head_turn
        colour[on_eye] = _paint_eye(person, shot, local, inward=1 if side == Part.RIGHT_EYE else -1)
        shine[on_eye] = 1.0
    tone = hits.interpolate(scene.tone)[:, None]
    plain = {
        Part.TEETH: vector(0.78, 0.75, 0.70),
        Part.LASHES: vector(0.02, 0.014, 0.012),
        Part.HAIR: hair_colour(person.persona),
        Part.GLASSES: linear(FRAME_COLOURS.get(shot.glasses, (0, 0, 0))),
        Part.HAT: linear(CLOTH.get(shot.hat, (0, 0, 0))),
    }
    for name, flat in plain.items():
        colour[part == name] = flat * tone[part == name]
    return Paint(colour, shine, skin)


def _only(hits: Hits, chosen: NDArray[np.bool_]) -> Hits:
    return Hits(hits.pixel[chosen], hits.triangle[chosen], hits.corner[chosen], hits.share[chosen])


def _paint_skin(person: Person, shot: Shot, hits: Hits) -> tuple[Floats, Floats, Floats]:
    head, persona = person.head, person.persona
    neutral = hits.interpolate(head.neutral)
    masks = hits.interpolate(_masks())
    column, row = texel(longitude(neutral), neutral[:, 1])
    colour = sample_texture(person.texture.colour, column, row)
    shine = sample_texture(person.texture.shine, column, row)[:, 0]
    base = skin_colour(persona)
    colour = blend(colour, base * vector(0.95, 0.82, 0.80), masks[:, 3])
    lips = np.clip(1.3 * masks[:, 0] - 0.1, 0, 1)
    colour = blend(colour, _lip_colour(person), lips)
    mouth = np.clip(masks[:, 1], 0, 1)
    colour = blend(colour, (0.10, 0.022, 0.02), mouth)
    lashes = (0.85 if persona.noun == "woman" else 0.6) * masks[:, 2]
    colour = blend(colour, (0.015, 0.01, 0.01), lashes)
    shirt = shirt_amount(neutral, 0.012)
    colour = blend(colour, linear(CLOTH[shot.shirt]), shirt)
    shine = (0.8 * shine + 0.3 * lips) * (1 - shirt) * (1 - mouth)
    return colour, np.minimum(shine, 0.8), 1 - shirt


def _lip_colour(person: Person) -> Floats:
    persona = person.persona
    red = persona.lip_redness
    natural = skin_colour(persona) * vector(0.95, 0.56 - 0.2 * red, 0.55 - 0.16 * red)
    if not persona.lipstick:
        return natural
    return natural * 0.4 + linear((0.74, 0.14, 0.20)) * np.float32(0.6)


def _paint_eye(person: Person, shot: Shot, local: Floats, inward: int) -> Floats:
    """Colour of sclera, iris and pupil by the angle from the line of sight."""
    gaze_x = shot.gaze[0] - 0.35 * shot.yaw + 0.03 * inward
    sight = unit(vector(gaze_x, shot.gaze[1], 1))
    away = np.arccos(np.clip(local @ sight, -1, 1)) / IRIS
    iris = linear(EYE_COLOURS[person.persona.eyes])
    iris = iris * (0.75 + 0.8 * smoothstep(0.35, 0.85, away) - 0.8 * smoothstep(0.82, 1, away))[:, None]
    white = vector(0.86, 0.84, 0.82) * (1 - 0.2 * smoothstep(1.2, 2.4, away))[:, None]
    colour = blend(iris, white, smoothstep(0.94, 1.08, away))
    colour = blend(colour, (0.008, 0.008, 0.008), smoothstep(0.46, 0.36, away))
    return colour * (1 - 0.35 * smoothstep(0.1, 0.6, local[:, 1]))[:, None]


@cache
def _masks() -> Floats:
    """Masks of lips, inside of the mouth, lash roots and ears at the vertices: (n, 4)."""
    head = load_head()
    lashes = cKDTree(head.neutral[head.vertex_part == Part.LASHES])
    distance, _ = lashes.query(head.neutral)
    x, y, _ = head.neutral.T
    ears = smoothstep(0.78, 0.84, np.abs(x)) * (y < 0.3) * (y > -0.7)
    return np.stack([head.lips, head.mouth, bump(distance, 0, 0.022), ears], 1).astype(np.float32)
