"""Face embeddings and aligned face crops by insightface, the input of FaceID adapters."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from methods.compute.loading import first_line
from methods.errors import MethodError
from methods.subject import Photo, Subject

# `Path.home` raises an error for a user without a home folder.
MODEL_ROOT: Final = Path(os.path.expanduser("~/.insightface/models"))  # noqa: PTH111

MIN_DETECTION_SCORE: Final = 0.5
"""Minimum detection score of a face; insightface's default, as in FaceID's published code."""

CROP_SIZE: Final = 224
"""Side of a face crop in pixels, as in FaceID's published code."""


@dataclass(frozen=True)
class Face:
    """The largest face of a photograph."""

    embedding: Tensor
    """(512,), float32, of any norm; adapters expect norm 1, except `unnorm` ones."""
    picture: Image.Image
    """RGB, 224 x 224, rotated and scaled to ArcFace's reference positions of eyes, nose and mouth."""


@dataclass(frozen=True)
class FaceEncoder:
    """An insightface model folder, such as `buffalo_l`, on the CPU. The models are for research use only."""

    folder: Path
    app: Any

    def detect(self, image: Image.Image) -> Face | None:
        """Return the largest face, or None where there is none."""
        rgb = np.asarray(image.convert("RGB"))
        with warnings.catch_warnings():
            # From the library that insightface aligns faces with.
            warnings.simplefilter("ignore", FutureWarning)
            # insightface expects OpenCV's channel order: blue, green, red.
            found = self.app.get(np.ascontiguousarray(rgb[:, :, ::-1]))
            return self._largest(rgb, found) if found else None

    def _largest(self, rgb: NDArray[np.uint8], found: Sequence[Any]) -> Face:
        from insightface.utils import face_align

        face = max(found, key=lambda f: float((f.bbox[2] - f.bbox[0]) * (f.bbox[3] - f.bbox[1])))
        if face.kps is None:
            raise MethodError(f"{self.folder}: its detector returns no landmarks; use the one of buffalo_l")
        picture = Image.fromarray(face_align.norm_crop(rgb, landmark=face.kps, image_size=CROP_SIZE))
        return Face(torch.from_numpy(np.asarray(face.embedding, np.float32)), picture)

    def faces(self, subject: Subject) -> list[Face]:
        """Return the face of each reference photograph; raises MethodError for one without a face."""
        found = [self.detect(photo.image) for photo in subject.references]
        if reason := photo_without_face(subject, found):
            raise MethodError(reason)
        return [face for face in found if face is not None]


def photo_without_face(subject: Subject, faces: Sequence[Face | None]) -> str | None:
    """Return one line that names the first photograph without a face, or None."""
    for number, (photo, face) in enumerate(zip(subject.references, faces, strict=True), start=1):
        if face is None:
            return f"{subject.id}: no face found in {_describe(photo, number)}; leave it out, or use another"
    return None


def _describe(photo: Photo, number: int) -> str:
    width, height = photo.image.size
    return f"reference photo {number} ({photo.caption!r}, {width} x {height})"


@lru_cache(maxsize=2)
def open_faces(folder: Path, detector_size: int) -> FaceEncoder:
    """Load insightface's detector and recognition network, once per process."""
    if not face_files(folder):
        raise MethodError(
            f"{folder}: no insightface models (*.onnx) there; unpack insightface's buffalo_l.zip into it, "
            "or set `faces` to their folder"
        )
    from insightface.app import FaceAnalysis
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    # onnxruntime's errors have no common base class below Exception.
    onnx_errors = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NotImplemented)
    try:
        app = FaceAnalysis(
            str(folder), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
        )
    except (AssertionError, ValueError, RuntimeError, OSError, *onnx_errors) as error:
        raise MethodError(
            f"{folder}: insightface finds no detector there ({first_line(error)}); get the folder again"
        ) from error
    # Without it, insightface silently returns None as `embedding`.
    if "recognition" not in app.models:
        raise MethodError(f"{folder}: no recognition model; expected one such as w600k_r50.onnx")
    size = (detector_size, detector_size)
    app.prepare(ctx_id=-1, det_thresh=MIN_DETECTION_SCORE, det_size=size)
    if app.det_model.input_size != size:
        raise MethodError(f"{folder}: its detector needs {app.det_model.input_size}; set `detector_size`")
    return FaceEncoder(folder, app)


def face_folder(name: str) -> Path:
    """Return the folder for a path, or for a name below ~/.insightface/models."""
    path = Path(name).expanduser()
    return MODEL_ROOT / name if path.name == name and not path.is_dir() else path


def face_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that determine the networks' output."""
    return tuple(sorted(folder.glob("*.onnx")))
