"""Render a photograph of a person."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.synthetic.geometry.array_math import linear, unit, vector
from bench.synthetic.geometry.head_model import Floats, Part
from bench.synthetic.parameters.shot import WALL, Shot
from bench.synthetic.renderer.person_mesh import Person
from bench.synthetic.renderer.rasterizer import Hits, rasterise
from bench.synthetic.renderer.scene import CAMERA_DISTANCE, Scene, make_scene
from bench.synthetic.renderer.surface_colors import Paint, paint

RENDERER = "3"
"""Renderer version; must change whenever the same seeds give different pixels."""
SIZE = 64
"""Native image size; face position, glasses and hair are designed for it."""
SUPERSAMPLING = 3
KEY, FILL = 0.62, 0.42
BLEED = vector(0.38, 0.20, 0.14)
"""Subsurface scattering of skin by colour: how far light wraps around it."""


def render(person: Person, shot: Shot, size: int = SIZE) -> NDArray[np.uint8]:
    """Render one shot of a person as (size, size, 3) in sRGB."""
    fine = size * SUPERSAMPLING
    scene = make_scene(person, shot)
    screen, depth = scene.project(fine)
    hits = rasterise(screen, depth, scene.triangles, scene.part >= Part.TEETH, fine)
    image = np.empty((fine * fine, 3), np.float32)
    image[:] = linear(WALL[shot.background])
    image[hits.pixel] = _lit(person, shot, scene, hits, depth, fine)
    pooled = image.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3))
    pixels: NDArray[np.uint8] = (np.clip(pooled, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)
    return pixels


def _lit(person: Person, shot: Shot, scene: Scene, hits: Hits, depth: Floats, size: int) -> Floats:
    """Colour of the covered pixels under a soft light from the front."""
    normals = unit(hits.interpolate(scene.normals))
    towards = unit(vector(0, 0, CAMERA_DISTANCE) - hits.interpolate(scene.vertices))
    part = scene.part[hits.triangle]
    turned_away = (np.einsum("ij,ij->i", normals, towards) < 0) & (part >= Part.TEETH)
    normals[turned_away] *= -1
    surface = paint(person, shot, scene, hits, normals)
    openness = _openness(hits, hits.interpolate(depth), size)
    openness[turned_away & (part == Part.HAIR)] *= 0.6
    openness[part == Part.TEETH] *= 0.85
    return _shade(surface, normals, towards, openness, shot)


def _shade(surface: Paint, normals: Floats, towards: Floats, openness: Floats, shot: Shot) -> Floats:
    light = unit(vector(*shot.light))
    facing = (normals @ light)[:, None]
    bleed = BLEED * surface.skin[:, None]
    key = KEY * np.clip((facing + bleed) / (1 + bleed), 0, 1)
    fill = FILL * (0.62 + 0.38 * normals[:, 1:2])
    lit = surface.colour * (key * (0.5 + 0.5 * openness[:, None]) + fill * openness[:, None])
    halfway = np.clip(np.einsum("ij,ij->i", normals, unit(light + towards)), 0, 1)
    glint = surface.shine * (0.10 * halfway**16 + 0.5 * (surface.shine > 0.9) * halfway**90)
    shaded: Floats = (lit + 0.5 * glint[:, None]) * np.float32(shot.exposure)
    return shaded


def _openness(hits: Hits, depth: Floats, size: int) -> Floats:
    """Ambient occlusion in screen space: pixels deeper than their surroundings are darkened."""
    buffer = np.full(size * size, CAMERA_DISTANCE + 1.2, np.float32)
    buffer[hits.pixel] = np.minimum(depth, CAMERA_DISTANCE + 1.2)
    depth_map = buffer.reshape(size, size)
    hollow = np.zeros_like(depth_map)
    for radius, strength in ((0.012, 2.0), (0.035, 0.7)):
        around = gaussian_filter(depth_map, radius * size, truncate=2.0)
        hollow += np.clip((depth_map - around) * strength, 0, 0.35)
    return np.clip(1 - hollow, 0.3, 1).ravel()[hits.pixel]
