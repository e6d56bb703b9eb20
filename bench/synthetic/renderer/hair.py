"""Hair: a raised scalp for short styles, a curtain for long ones, a ball for a bun."""

from dataclasses import dataclass

import numpy as np

from bench.synthetic.geometry.array_math import linear, smoothstep, unit
from bench.synthetic.geometry.head_model import Floats, Head, Ints, Part
from bench.synthetic.parameters.persona import HAIR_COLOURS, Persona
from bench.synthetic.renderer.rasterizer import vertex_normals

LINE_ANGLE = (0, 0.35, 0.7, 0.95, 1.15, 1.45, 1.75, 2.1, 2.5, 3.2)
LINE_HEIGHT = (0.72, 0.72, 0.62, 0.40, 0.12, -0.02, -0.05, -0.35, -0.62, -0.7)


@dataclass(frozen=True)
class Piece:
    """A mesh worn on the head, which turns with the skull."""

    part: Part
    vertices: Floats
    normals: Floats
    triangles: Ints
    tone: Floats
    """Brightness of each vertex relative to the piece's colour."""


@dataclass(frozen=True)
class Dome:
    """An ellipsoid that encloses the skull."""

    centre: Floats
    radii: Floats

    def surface(self, angle: Floats, height: Floats, margin: float) -> Floats:
        """Surface points by angle around the head and height; below the centre, the surface is a cylinder."""
        up = np.clip((height - self.centre[1]) / (self.radii[1] + margin), 0, 1)
        round_ = np.sqrt(1 - up**2)
        x = self.centre[0] + (self.radii[0] + margin) * round_ * np.sin(angle)
        z = self.centre[2] + (self.radii[2] + margin) * round_ * np.cos(angle)
        points: Floats = np.stack([x, height, z], -1).astype(np.float32)
        return points


def fit_dome(head: Head, placed: Floats) -> Dome:
    """The smallest ellipsoid with the skull's proportions that encloses the scalp."""
    skull = placed[(head.vertex_part == Part.SKIN) & (head.neutral[:, 1] > 0.42)]
    low = np.float32(0.1)
    middle = (skull[:, 2].max() + skull[:, 2].min()) / 2
    centre = np.array([0, low, middle], np.float32)
    radii = np.abs(skull - centre).max(0)
    reach = np.sqrt((((skull - centre) / radii) ** 2).sum(1).max())
    return Dome(centre, (radii * reach).astype(np.float32))


def hair_colour(persona: Persona) -> Floats:
    """Linear colour of head hair, brows and beard."""
    return linear(HAIR_COLOURS[persona.hair]) * np.float32(persona.hair_tint)


def covered(persona: Persona, angle: Floats, height: Floats) -> Floats:
    """Degree to which a point of the head is behind the hairline, 0..1."""
    side = np.abs(angle)
    line = np.interp(side, LINE_ANGLE, LINE_HEIGHT)
    line = line + (persona.hairline + _fringe(persona)) * smoothstep(1.2, 0.3, side)
    return smoothstep(-0.04, 0.05, height - line)


def scalp_lift(persona: Persona, head: Head, placed: Floats) -> Floats:
    """Height of the hair above the skin at each vertex of the head."""
    thickness = {"buzz": 0.02, "short": 0.10, "curly": 0.20, "bob": 0.10, "long": 0.08, "bun": 0.04}
    if persona.style not in thickness:
        return np.zeros(len(placed), np.float32)
    rng = np.random.default_rng((persona.seed, 2))
    angle, height = head.angle, head.neutral[:, 1]
    behind = covered(persona, angle, height - 0.06) * smoothstep(-0.75, -0.45, height)
    ears = (np.abs(head.neutral[:, 0]) > 0.78) & (height < 0.25)
    crown = 0.55 + 0.45 * smoothstep(0.1, 0.9, height)
    lift = thickness[persona.style] * persona.volume * behind * crown * ~ears
    lift *= head.vertex_part == Part.SKIN
    if persona.style == "curly":
        lift = lift * rng.uniform(0.6, 1.3, len(placed))
    raised: Floats = lift.astype(np.float32)
    return raised


def hair_pieces(persona: Persona, head: Head, placed: Floats, dome: Dome) -> tuple[Piece, ...]:
    """Additional meshes of a hairstyle; empty for most short styles."""
    match persona.style:
        case "curly":
            return (_curls(persona, head, placed),)
        case "bob" | "long":
            return (_curtain(persona, dome),)
        case "bun":
            return (_bun(persona, dome),)
        case _:
            return ()


def stays_below_a_hat(persona: Persona) -> bool:
    """Whether the style is visible below a hat."""
    return persona.style in ("bob", "long")


def _fringe(persona: Persona) -> float:
    match persona.style:
        case "bob" if persona.parting == 1:
            return -0.20
        case "bob" | "long" | "bun":
            return 0.06
        case _:
            return 0.0


def _curtain(persona: Persona, dome: Dome) -> Piece:
    rng = np.random.default_rng((persona.seed, 3))
    columns, rows = 72, 26
    bottom = -0.98 * persona.length if persona.style == "bob" else -2.3
    across = np.linspace(0, 1, columns)
    down = np.linspace(0, 1, rows)[:, None]
    height = 0.95 + (bottom - 0.95) * down + np.zeros(columns)
    opening = 0.85 + 0.25 * smoothstep(0.5, -0.3, height) + 0.03 * np.sin(9 * down + persona.seed)
    angle = opening + (2 * np.pi - 2 * opening) * across
    strand = rng.normal(0, 1, columns)
    wave = 0.022 * np.sin(14 * down * persona.length + 9 * across) * smoothstep(0.2, -0.6, height)
    # Wide enough to hide the ears, but close to the scalp at the top.
    hang = max(0.09 * persona.volume, 0.84 - dome.radii[0]) * smoothstep(0.95, 0.45, height)
    margin = hang + 0.012 * strand + wave * (persona.style == "long")
    points = dome.surface(angle, height, 0.0)
    outward = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], -1)
    flare = 0.10 * smoothstep(-0.2, -1.0, height) * (1 if persona.style == "bob" else 0.4)
    points = points + outward * (margin + flare)[..., None]
    tone = (1 + 0.10 * strand) * (0.90 + 0.15 * np.cos(5 * down))
    return grid_piece(Part.HAIR, points, tone + np.zeros((rows, columns)))


def _bun(persona: Persona, dome: Dome) -> Piece:
    centre = dome.surface(np.array(persona.parting * 1.75), np.array(0.84), 0.12)
    centre[0] += 0.12 * persona.parting
    around, up = np.meshgrid(np.linspace(0, 2 * np.pi, 17), np.linspace(-np.pi / 2, np.pi / 2, 11))
    ball = np.stack([np.cos(up) * np.sin(around), -np.sin(up), np.cos(up) * np.cos(around)], -1)
    twist = 1 + 0.04 * np.sin(5 * around + 6 * up)
    points = centre + 0.32 * (0.7 + 0.3 * persona.volume) * ball * twist[..., None]
    return grid_piece(Part.HAIR, points, 0.92 + 0.14 * np.sin(5 * around + 6 * up))


def _curls(persona: Persona, head: Head, placed: Floats) -> Piece:
    """Flat balls at random points of the scalp, which look like curls."""
    rng = np.random.default_rng((persona.seed, 4))
    behind = covered(persona, head.angle, head.neutral[:, 1] - 0.08)
    ears = (np.abs(head.neutral[:, 0]) > 0.78) & (head.neutral[:, 1] < 0.25)
    rooted = (head.vertex_part == Part.SKIN) & (behind > 0.5) & ~ears & (head.neutral[:, 1] > -0.5)
    roots = placed[rooted]
    count = 150
    centre = roots[rng.integers(len(roots), size=count)]
    middle = np.array([0, 0.1, 0.35])
    centre = centre + unit(centre - middle) * (0.13 * persona.volume * rng.uniform(0.5, 1.2, (count, 1)))
    around, up = np.meshgrid(np.linspace(0, 2 * np.pi, 9), np.linspace(-np.pi / 2, np.pi / 2, 6))
    ball = np.stack([np.cos(up) * np.sin(around), -np.sin(up), np.cos(up) * np.cos(around)], -1)
    radius = 0.115 * (0.6 + 0.4 * persona.volume) * rng.uniform(0.7, 1.3, count)
    balls = [
        grid_piece(Part.HAIR, c + r * ball, np.full(ball.shape[:2], tone))
        for c, r, tone in zip(centre, radius, rng.normal(1, 0.10, count), strict=True)
    ]
    return join(balls)


def grid_piece(part: Part, points: Floats, tone: Floats) -> Piece:
    """A mesh over a grid of points, (rows, columns, 3), facing outwards."""
    rows, columns = points.shape[:2]
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    triangles = np.stack(
        [
            np.stack([first, first + columns, first + 1], 1),
            np.stack([first + 1, first + columns, first + columns + 1], 1),
        ],
        1,
    )
    flat = points.reshape(-1, 3).astype(np.float32)
    mesh = triangles.reshape(-1, 3).astype(np.int32)
    return Piece(part, flat, vertex_normals(flat, mesh), mesh, tone.ravel().astype(np.float32))


def join(pieces: list[Piece]) -> Piece:
    """Merge several pieces of the same part."""
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces[:-1])])
    return Piece(
        part=pieces[0].part,
        vertices=np.concatenate([piece.vertices for piece in pieces]),
        normals=np.concatenate([piece.normals for piece in pieces]),
        triangles=np.concatenate(
            [piece.triangles + start for piece, start in zip(pieces, starts, strict=True)]
        ).astype(np.int32),
        tone=np.concatenate([piece.tone for piece in pieces]),
    )
