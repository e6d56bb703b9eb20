"""Meshes of glasses and a beanie, fitted to the head."""

import numpy as np

from bench.synthetic.geometry.array_math import unit
from bench.synthetic.geometry.head_model import Floats, Part
from bench.synthetic.renderer.hair import Dome, Piece, grid_piece, join

FRAME = 0.030
"""Radius of the frame's wire; below 0.025 it is invisible at 64 pixels."""


def make_glasses(left_eye: Floats, right_eye: Floats, front: float, temple: float) -> Piece:
    """Rounded frames in front of both eyes, a bridge and two arms.

    `front` is the largest z of the eyeballs, `temple` half the width of the head next to the eyes.
    """
    half = (left_eye[0] - right_eye[0]) / 2
    wide, tall = min(0.255, half - 0.05), 0.20
    height = (left_eye[1] + right_eye[1]) / 2 - 0.03
    depth = front + 0.14
    wires = []
    for centre, side in ((left_eye, 1), (right_eye, -1)):
        turn = np.linspace(0, 2 * np.pi, 33)
        x = centre[0] + side * 0.015 + wide * _rounded(np.cos(turn))
        y = height + tall * _rounded(np.sin(turn))
        z = depth - 0.35 * np.maximum(0, np.abs(x) - 0.25) ** 1.3
        wires.append(_wire(np.stack([x, y, z], -1)))
        hinge = [centre[0] + side * (wide + 0.015), height + 0.08, depth - 0.12]
        bend = [side * temple, height + 0.09, 0.75]
        wires.append(_wire(np.array([hinge, bend, [side * (temple + 0.04), height + 0.06, 0.4]])))
    bridge = [[right_eye[0] + wide, height + 0.05, depth], [0, height + 0.09, depth + 0.05]]
    wires.append(_wire(np.array([*bridge, [left_eye[0] - wide, height + 0.05, depth]])))
    return join(wires)


def make_hat(dome: Dome) -> Piece:
    """A beanie with a folded rim."""
    angle = np.linspace(0, 2 * np.pi, 73)
    rim = 0.36 + 0.13 * np.cos(angle)
    top = dome.centre[1] + dome.radii[1] + 0.12
    crown = np.linspace(1, 0, 14)[:, None] ** 0.6
    knitted = 1 + 0.06 * np.sign(np.sin(36 * angle))
    height = rim + (top - rim) * crown
    shell = dome.surface(angle, height, 0.05)
    cap = grid_piece(Part.HAT, shell, knitted + np.zeros_like(height))

    across = np.linspace(0, 1, 6)[:, None]
    fold = dome.surface(angle, rim + 0.26 - 0.30 * across, 0.05)
    bulge = 0.05 * np.sin(np.pi * across) ** 0.5
    outward = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)
    band = grid_piece(Part.HAT, fold + bulge[..., None] * outward, 0.88 * knitted + 0 * across)
    return join([cap, band])


def _rounded(x: Floats) -> Floats:
    """Map a coordinate of a circle to a rounded rectangle."""
    squared: Floats = np.sign(x) * np.abs(x) ** (2 / 3)
    return squared


def _wire(path: Floats) -> Piece:
    along = unit(np.gradient(path, axis=0))
    across = unit(np.cross(along, np.array([0.13, 0.2, 1.0])))
    third = np.cross(along, across)
    turn = np.linspace(0, 2 * np.pi, 6)[:, None]
    ring = across[:, None] * np.cos(turn) + third[:, None] * np.sin(turn)
    return grid_piece(Part.GLASSES, path[:, None] + FRAME * ring, np.ones(ring.shape[:2]))
