"""ArcFace through insightface: any of its model folders (`buffalo_l`, `antelopev2`), given by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.memo import Memo
from metrics.encoders.weights import first_existing, sha256, versions
from metrics.encoders.yunet_sface import Box
from metrics.interface import Features, MetricError


class ArcFace:
    """The largest face that insightface finds, as a unit vector. Its models are for research use only."""

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
            stand_in="sface",
        )
        self._app = self._opened()
        self._memo = Memo(self._look)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"insightface {self._folder.name} {sha256(self._folder)[:12]}",
            "detector size": str(self.detector_size),
            "detector score": str(self.least_score),
            "face": "largest",
            "alignment": "5 points to 112",
            **versions("insightface", "onnxruntime"),
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 512 unit vectors; a row of NaN where there is no face."""
        return np.array([vector for vector, _ in self._memo(images)])

    def boxes(self, images: Sequence[Image.Image]) -> list[list[Box]]:
        """Left, top, width and height of every face of each picture, the largest first."""
        return [boxes for _, boxes in self._memo(images)]

    def _opened(self) -> Any:
        from insightface.app import FaceAnalysis

        try:
            app = FaceAnalysis(
                str(self._folder),
                allowed_modules=["detection", "recognition"],
                providers=["CPUExecutionProvider"],
            )
        except (AssertionError, ValueError, RuntimeError, OSError) as error:
            raise MetricError(f"{self._folder}: insightface finds no detector there ({error})") from error
        # Without the recognition model, insightface's `normed_embedding` is None and nothing complains.
        if "recognition" not in app.models:
            raise MetricError(
                f"{self._folder}: holds no recognition model; wanted one such as w600k_r50.onnx"
            )
        size = (self.detector_size, self.detector_size)
        app.prepare(ctx_id=-1, det_thresh=self.least_score, det_size=size)
        if app.det_model.input_size != size:
            raise MetricError(
                f"{self._folder}: its detector sees {app.det_model.input_size} only; set `detector_size`"
            )
        return app

    def _look(self, images: Sequence[Image.Image]) -> list[tuple[NDArray[np.float64], list[Box]]]:
        return [self._seen(image) for image in images]

    def _seen(self, image: Image.Image) -> tuple[NDArray[np.float64], list[Box]]:
        # insightface speaks OpenCV's channel order: blue, green, red.
        bgr = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        faces = sorted(self._app.get(bgr), key=lambda face: -_area(face.bbox))
        if not faces:
            return np.full(512, np.nan), []
        boxes = [
            (float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1]))
            for b in (f.bbox for f in faces)
        ]
        return np.asarray(faces[0].normed_embedding, np.float64), boxes


def _area(box: NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
