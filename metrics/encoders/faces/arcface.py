"""ArcFace through insightface: any of its model folders (`buffalo_l`, `antelopev2`), by path.

`methods` has its own insightface loader, because metrics and methods never import each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.faces.alignment import FACE
from metrics.encoders.faces.yunet import Box
from metrics.encoders.runtime.image_cache import ImageCache, Row
from metrics.encoders.runtime.inference import unit
from metrics.encoders.runtime.weight_files import first_existing, sha256, versions
from metrics.interface import Features, MetricError


class ArcFace:
    """The largest face that insightface finds, as a unit vector. Its models are for research use only.

    Largest by the area of its box; ties are broken by the detector score.
    """

    name = "arcface"

    def __init__(
        self, path: str | Path | None = None, detector_size: int = 640, least_score: float = 0.5
    ) -> None:
        self.detector_size = detector_size
        self.least_score = least_score
        self._folder = first_existing(
            self.name,
            [Path(path).expanduser()] if path else [Path.home() / ".insightface" / "models" / "buffalo_l"],
            cure=f"unpack insightface's buffalo_l.zip there, or set `path` in [encoders.{self.name}]",
            alternative="sface",
        )
        self._app = self._open()
        self._recogniser = self._app.models["recognition"]
        self.width = int(self._recogniser.get_feat(np.zeros((FACE, FACE, 3), np.uint8)).size)
        self._cache = ImageCache(self._encode_batch)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        import cv2

        return {
            "network": _file_id(self._recogniser),
            "detector": _file_id(self._app.det_model),
            "detector size": str(self.detector_size),
            "detector score": str(self.least_score),
            "face": "largest",
            "alignment": f"5 points to {FACE}",
            "resize": "bilinear, not antialiased",
            "dtype": "float32",
            "opencv": cv2.__version__,
            **versions("insightface", "onnxruntime", "scikit-image"),
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x D unit vectors (512 in the published models); a row of NaN for an image without a face."""
        rows = [row[: self.width] for row in self._cache(images)]
        return np.array(rows, np.float64).reshape(-1, self.width)

    def boxes(self, images: Sequence[Image.Image]) -> list[list[Box]]:
        """Left, top, width and height of every face of each image, the largest first."""
        found = [row[self.width :].reshape(-1, 4).tolist() for row in self._cache(images)]
        return [[(left, top, width, height) for left, top, width, height in boxes] for boxes in found]

    def _open(self) -> Any:
        from insightface.app import FaceAnalysis

        try:
            app = FaceAnalysis(
                str(self._folder),
                allowed_modules=["detection", "recognition"],
                providers=["CPUExecutionProvider"],
            )
        except AssertionError as error:
            raise MetricError(f"{self._folder}: insightface finds no detector in it") from error
        except Exception as error:  # onnxruntime's errors, such as for a truncated file, share no base class
            raise MetricError(f"{self._folder}: insightface cannot open a network in it ({error})") from error
        # Without the recognition model, insightface's `normed_embedding` is None without an error.
        if "recognition" not in app.models:
            raise MetricError(f"{self._folder}: no recognition model; expected one such as w600k_r50.onnx")
        aligned = tuple(app.models["recognition"].input_size)
        if aligned != (FACE, FACE):
            raise MetricError(
                f"{self._folder}: its recognition model has input {aligned}, expected {FACE} x {FACE}"
            )
        # The default of insightface has changed between versions, and is now two sizes at once.
        size = (self.detector_size, self.detector_size)
        app.prepare(ctx_id=-1, det_thresh=self.least_score, det_size=size)
        if app.det_model.input_size != size:
            raise MetricError(
                f"{self._folder}: its detector requires input {app.det_model.input_size}; set `detector_size`"
            )
        return app

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[Row]:
        return [self._encode_one(image) for image in images]

    def _encode_one(self, image: Image.Image) -> Row:
        """The vector of the largest face, followed by the boxes of all faces."""
        # insightface uses OpenCV's channel order: blue, green, red.
        bgr = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        faces = sorted(self._app.get(bgr), key=lambda face: (-_area(face.bbox), -face.det_score))
        if not faces:
            return np.full(self.width, np.nan)
        boxes = [(b[0], b[1], b[2] - b[0], b[3] - b[1]) for b in (face.bbox for face in faces)]
        return np.concatenate([unit(faces[0].embedding[None])[0], np.array(boxes, np.float64).ravel()])


def _area(box: NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _file_id(model: Any) -> str:
    file = Path(model.model_file)
    return f"{file.stem} {sha256(file)[:12]}"
