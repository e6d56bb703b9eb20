"""The posed mesh of a person in one shot, and its camera."""

from dataclasses import dataclass

import numpy as np

from bench.synthetic.geometry.array_math import smoothstep, unit, vector
from bench.synthetic.geometry.head_model import Floats, Head, Ints, Part
from bench.synthetic.parameters.expressions import actions
from bench.synthetic.parameters.shot import Shot
from bench.synthetic.renderer.hair import Piece, stays_below_a_hat
from bench.synthetic.renderer.person_mesh import Person
from bench.synthetic.renderer.rasterizer import vertex_normals

CAMERA_DISTANCE = 9.0
NECK = vector(0, -0.95, 0.25)
COLLAR = -1.02


@dataclass(frozen=True)
class Scene:
    """Posed mesh with the middle of the eyes at the origin; the camera looks along -z."""

    vertices: Floats
    normals: Floats
    triangles: Ints
    part: Ints
    """Part of each triangle."""
    tone: Floats
    head_turn: Floats
    """The skull's rotation."""
    eye_distance: float

    def project(self, size: int) -> tuple[Floats, Floats]:
        """Pixel positions and depth; the eyes are projected to (32 +- 7.5, 28) of 64."""
        depth = CAMERA_DISTANCE - self.vertices[:, 2]
        scale = 15 / 64 * size * CAMERA_DISTANCE / self.eye_distance / depth
        x = size / 2 + scale * self.vertices[:, 0]
        y = 28 / 64 * size - scale * self.vertices[:, 1]
        return np.stack([x, y], -1).astype(np.float32), depth.astype(np.float32)


def make_scene(person: Person, shot: Shot) -> Scene:
    """Dress and pose a person."""
    head = person.head
    pieces = _worn(person, shot)
    body = _body(person, shot)
    normals = _body_normals(head, body)
    starts = np.cumsum([len(body), *(len(piece.vertices) for piece in pieces)])
    vertices = np.concatenate([body, *(piece.vertices for piece in pieces)])
    skull = _rotation(shot.yaw, shot.pitch)
    torso = _rotation(0.25 * shot.yaw, 0.0)
    follows = _skull_weights(head, pieces)[:, None]
    around = vertices - NECK
    posed = (around @ skull.T) * follows + (around @ torso.T) * (1 - follows)
    directions = np.concatenate([normals, *(piece.normals for piece in pieces)])
    turned = (directions @ skull.T) * follows + (directions @ torso.T) * (1 - follows)
    left = _turned_eye(person, skull, Part.LEFT_EYE)
    right = _turned_eye(person, skull, Part.RIGHT_EYE)
    middle = (left + right) / 2
    return Scene(
        vertices=(posed - middle).astype(np.float32),
        normals=unit(turned),
        triangles=np.concatenate(
            [head.triangles, *(p.triangles + s for p, s in zip(pieces, starts, strict=False))]
        ).astype(np.int32),
        part=np.concatenate(
            [head.triangle_part, *(np.full(len(p.triangles), p.part) for p in pieces)]
        ).astype(np.int32),
        tone=np.concatenate([_body_tone(head), *(p.tone for p in pieces)]),
        head_turn=skull,
        eye_distance=float(np.linalg.norm(left - right)),
    )


def shirt_amount(neutral: Floats, softness: float) -> Floats:
    """Degree to which a point is below the collar, 0..1; the last axis is its neutral position."""
    x, y, z = neutral[..., 0], neutral[..., 1], neutral[..., 2]
    above = y + 0.30 * z - 0.2 * np.maximum(np.abs(x) - 0.4, 0) - COLLAR
    return smoothstep(softness, -softness, above) * (y < -0.9)


def _worn(person: Person, shot: Shot) -> list[Piece]:
    hat = shot.hat != "none"
    hair = person.hair if not hat or stays_below_a_hat(person.persona) else ()
    worn = [_tucked(piece) for piece in hair] if hat else list(hair)
    if hat:
        worn.append(person.hat)
    if shot.glasses != "none":
        worn.append(person.glasses)
    return worn


def _tucked(hair: Piece) -> Piece:
    """The part of a hairstyle that is visible below a hat."""
    height = hair.vertices[:, 1]
    below = height[hair.triangles].max(1) < 0.55
    pressed = hair.vertices.copy()
    pressed[:, ::2] *= 1 - 0.14 * smoothstep(-0.1, 0.4, height)[:, None]
    return Piece(hair.part, pressed, hair.normals, hair.triangles[below], hair.tone)


def _body(person: Person, shot: Shot) -> Floats:
    head = person.head
    body = person.placed.copy()
    scaled = {name: person.scale * amount for name, amount in actions(shot).items()}
    head.actions.add(scaled, body)
    # Without this, the teeth protrude through strongly deformed lips.
    teeth = head.vertex_part == Part.TEETH
    body[teeth] = body[teeth] * vector(0.94, 1, 1) - vector(0, 0, 0.04)
    lift = person.beard_lift if shot.hat != "none" else person.beard_lift + person.hair_lift
    below = shirt_amount(head.neutral, 0.06) * (head.vertex_part == Part.SKIN)
    body += person.normals * (lift + 0.06 * below)[:, None]
    return body


def _body_normals(head: Head, body: Floats) -> Floats:
    normals = vertex_normals(body, head.skin_triangles)
    for side in (Part.LEFT_EYE, Part.RIGHT_EYE):
        ball = head.vertex_part == side
        normals[ball] = unit(body[ball] - body[ball].mean(0))
    normals[(head.vertex_part == Part.TEETH) | (head.vertex_part == Part.LASHES)] = (0, 0.2, 0.98)
    return normals


def _body_tone(head: Head) -> Floats:
    """Brightness of the head's vertices; teeth darken towards the throat."""
    inside = 0.12 + 0.88 * smoothstep(0.95, 1.22, head.neutral[:, 2])
    tone: Floats = np.where(head.vertex_part == Part.TEETH, inside, np.float32(1))
    return tone


def _skull_weights(head: Head, pieces: list[Piece]) -> Floats:
    """Weight of the skull's rotation: 1 for the head, 0 for the shoulders, between for neck and long hair."""
    height = head.neutral[:, 1] - 0.25 * (head.neutral[:, 2] - 0.6)
    follows = [smoothstep(-1.75, -0.95, height)]
    follows += [smoothstep(-2.3, -1.0, piece.vertices[:, 1]) for piece in pieces]
    return np.concatenate(follows)


def _turned_eye(person: Person, skull: Floats, side: Part) -> Floats:
    centre: Floats = (person.head.eye(person.placed, side) - NECK) @ skull.T
    return centre


def _rotation(yaw: float, pitch: float) -> Floats:
    """Rotation by pitch, then yaw, which keeps the eyes level."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    rotation: Floats = (turn @ nod).astype(np.float32)
    return rotation
