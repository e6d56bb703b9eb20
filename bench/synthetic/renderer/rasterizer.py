"""Z-buffer rasterisation and interpolation of vertex values."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bench.synthetic.geometry.head_model import Floats, Ints


@dataclass(frozen=True)
class Hits:
    """The pixels covered by a triangle, in row order."""

    pixel: NDArray[np.int64]
    """Index into the flattened image."""
    triangle: Ints
    corner: Ints
    """The three vertices of each pixel's triangle."""
    share: Floats
    """Barycentric coordinates, (pixels, 3)."""

    def interpolate(self, values: Floats) -> Floats:
        """Interpolate vertex values at the pixels."""
        flat = np.ascontiguousarray(values.reshape(len(values), -1), np.float32)
        interpolated: Floats = _interpolate(flat, self.corner, self.share)
        return interpolated.reshape((len(self.pixel), *values.shape[1:]))


def rasterise(
    screen: Floats, depth: Floats, triangles: Ints, two_sided: NDArray[np.bool_], size: int
) -> Hits:
    """Find the nearest triangle at each pixel centre of a square image.

    `screen` is in pixels with y down; a smaller `depth` is nearer. Triangles that face away are skipped
    unless they are two-sided.
    """
    nearest_triangle, share = _rasterise(screen, depth, triangles, two_sided, size)
    pixel = np.flatnonzero(nearest_triangle >= 0)
    triangle = nearest_triangle[pixel]
    return Hits(pixel, triangle, triangles[triangle], share[pixel])


def vertex_normals(placed: Floats, triangles: Ints) -> Floats:
    """Area-weighted mean of the normals of the adjacent triangles."""
    normals: Floats = _vertex_normals(np.ascontiguousarray(placed, np.float32), triangles)
    return normals


@njit(cache=True)
def _rasterise(screen, depth, triangles, two_sided, size):  # type: ignore[no-untyped-def]
    nearest = np.full(size * size, np.inf, np.float32)
    nearest_triangle = np.full(size * size, -1, np.int32)
    share = np.zeros((size * size, 3), np.float32)
    for k in range(triangles.shape[0]):
        a, b, c = triangles[k]
        ax, ay = screen[a]
        bx, by = screen[b]
        cx, cy = screen[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9 or (area > 0 and not two_sided[k]):
            continue
        first_x = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        first_y = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        last_x = min(size - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        last_y = min(size - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for row in range(first_y, last_y + 1):
            y = row + 0.5
            for column in range(first_x, last_x + 1):
                x = column + 0.5
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1 - u - v
                if u < -1e-5 or v < -1e-5 or w < -1e-5:
                    continue
                z = u * depth[a] + v * depth[b] + w * depth[c]
                pixel = row * size + column
                if z < nearest[pixel]:
                    nearest[pixel] = z
                    nearest_triangle[pixel] = k
                    share[pixel] = u, v, w
    return nearest_triangle, share


@njit(cache=True)
def _interpolate(values, corner, share):  # type: ignore[no-untyped-def]
    result = np.empty((len(corner), values.shape[1]), np.float32)
    for i in range(len(corner)):
        a, b, c = corner[i]
        u, v, w = share[i]
        for j in range(values.shape[1]):
            result[i, j] = u * values[a, j] + v * values[b, j] + w * values[c, j]
    return result


@njit(cache=True)
def _vertex_normals(placed, triangles):  # type: ignore[no-untyped-def]
    normals = np.zeros_like(placed)
    for k in range(len(triangles)):
        a, b, c = triangles[k]
        ux, uy, uz = placed[b] - placed[a]
        vx, vy, vz = placed[c] - placed[a]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for i in range(len(normals)):
        length = max(np.sqrt((normals[i] ** 2).sum()), 1e-8)
        normals[i] /= length
    return normals


@njit(cache=True)
def sample_texture(texture, column, row):  # type: ignore[no-untyped-def]
    """Bilinear lookup with horizontal wrapping, in texels from the centre of the first one."""
    height, width, channels = texture.shape
    result = np.empty((len(column), channels), np.float32)
    for i in range(len(column)):
        y = min(max(row[i], 0.0), height - 1.001)
        x = column[i] % width
        top, left = int(y), int(x)
        down, along = y - top, x - left
        right = (left + 1) % width
        left = left % width
        for j in range(channels):
            above = texture[top, left, j] * (1 - along) + texture[top, right, j] * along
            below = texture[top + 1, left, j] * (1 - along) + texture[top + 1, right, j] * along
            result[i, j] = above * (1 - down) + below * down
    return result
