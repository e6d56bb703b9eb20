"""The five-point face alignment of ArcFace-style networks."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FACE: Final = 112
"""Height and width of an aligned face."""
TEMPLATE: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Positions (x, y) of eyes, nose and mouth corners, left in the image first (Deng et al. 2019)."""


def similarity_transform(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2 x 3 similarity that best maps K points (x, y) to K others (Umeyama 1991, eq. 40-42)."""
    mu, nu = source.mean(0), target.mean(0)
    a, b = source - mu, target - nu
    u, d, vt = np.linalg.svd(b.T @ a / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / a.var(0).sum()
    return np.column_stack([scale * rotation, nu - scale * rotation @ mu])


def align(image: Image.Image, landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The face at these five (x, y) points as 112 x 112 x 3, RGB; black outside the image.

    A face larger than 112 is first shrunk with antialiasing, so that the warp does not skip pixels.
    """
    matrix = similarity_transform(landmarks, TEMPLATE)
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if zoom < 1:
        size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
        # Pixel centres are at half-integers in a resize, at integers in a landmark.
        scale = np.array(size) / np.array(image.size)
        image, landmarks = image.resize(size, Image.Resampling.BICUBIC), (landmarks + 0.5) * scale - 0.5
        matrix = similarity_transform(landmarks, TEMPLATE)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    # PIL samples at pixel centres (x + 0.5); the matrix uses integer coordinates.
    inverse[:, 2] += 0.5 - inverse[:, :2] @ [0.5, 0.5]
    warped = image.transform(
        (FACE, FACE), Image.Transform.AFFINE, tuple(inverse.ravel()), Image.Resampling.BICUBIC
    )
    return np.asarray(warped, np.uint8)
