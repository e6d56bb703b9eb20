"""Faces as FaceID adapters are told of them: insightface's embedding, and the face cut out upright."""

from __future__ import annotations

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

MODELS: Final = Path.home() / ".insightface" / "models"

LEAST_SCORE: Final = 0.5
"""Of a face that counts; insightface's own default, as in FaceID's published code."""

CUT: Final = 224
"""Side of a face that was cut out, as in FaceID's published code."""


@dataclass(frozen=True)
class Face:
    """The largest face of a photograph."""

    embedding: Tensor
    """(512,), float32, of any length; the adapters read it at length 1, but for `unnorm` ones."""
    picture: Image.Image
    """RGB, 224 x 224, turned and scaled so that eyes, nose and mouth lie where ArcFace wants them."""


@dataclass(frozen=True)
class FaceEncoder:
    """One of insightface's model folders, such as `buffalo_l`, on the CPU. Its models are for research."""

    folder: Path
    app: Any

    def look(self, image: Image.Image) -> Face | None:
        """The largest face, or None where there is none."""
        rgb = np.asarray(image.convert("RGB"))
        with warnings.catch_warnings():
            # Of the library that insightface turns faces with.
            warnings.simplefilter("ignore", FutureWarning)
            # insightface speaks OpenCV's channel order: blue, green, red.
            found = self.app.get(np.ascontiguousarray(rgb[:, :, ::-1]))
            return self._largest(rgb, found) if found else None

    def _largest(self, rgb: NDArray[np.uint8], found: Sequence[Any]) -> Face:
        from insightface.utils import face_align

        face = max(found, key=lambda f: float((f.bbox[2] - f.bbox[0]) * (f.bbox[3] - f.bbox[1])))
        if face.kps is None:
            raise MethodError(f"{self.folder}: its detector finds no eyes, nose and mouth; take buffalo_l's")
        picture = Image.fromarray(face_align.norm_crop(rgb, landmark=face.kps, image_size=CUT))
        return Face(torch.from_numpy(np.asarray(face.embedding, np.float32)), picture)

    def faces(self, subject: Subject) -> list[Face]:
        """The face of each reference photograph; raises MethodError naming the one that shows none."""
        looked = [self.look(photo.image) for photo in subject.references]
        if faceless := faceless_photo(subject, looked):
            raise MethodError(faceless)
        return [face for face in looked if face is not None]


def faceless_photo(subject: Subject, looked: Sequence[Face | None]) -> str | None:
    """One line that names the first photograph without a face, or None."""
    for number, (photo, face) in enumerate(zip(subject.references, looked, strict=True), start=1):
        if face is None:
            return f"{subject.id}: no face found in {_named(photo, number)}; leave it out, or take another"
    return None


def _named(photo: Photo, number: int) -> str:
    width, height = photo.image.size
    return f"reference photo {number} ({photo.caption!r}, {width} x {height})"


@lru_cache(maxsize=2)
def open_faces(folder: Path, detector_size: int) -> FaceEncoder:
    """insightface's detector and recognition network of a folder, once per process."""
    if not face_files(folder):
        raise MethodError(
            f"{folder}: no insightface models (*.onnx) there; unpack insightface's buffalo_l.zip there, "
            "or set `faces` to their folder"
        )
    from insightface.app import FaceAnalysis
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    # onnxruntime's errors have no common parent below Exception.
    cut = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NotImplemented)
    try:
        app = FaceAnalysis(
            str(folder), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
        )
    except (AssertionError, ValueError, RuntimeError, OSError, *cut) as error:
        raise MethodError(
            f"{folder}: insightface finds no detector there ({first_line(error)}); get the folder again"
        ) from error
    # Without it, insightface's `embedding` is None and nothing complains.
    if "recognition" not in app.models:
        raise MethodError(f"{folder}: no recognition model; wanted one such as w600k_r50.onnx")
    size = (detector_size, detector_size)
    app.prepare(ctx_id=-1, det_thresh=LEAST_SCORE, det_size=size)
    if app.det_model.input_size != size:
        raise MethodError(f"{folder}: its detector sees {app.det_model.input_size} only; set `detector_size`")
    return FaceEncoder(folder, app)


def face_folder(name: str) -> Path:
    """A folder by its path, or by insightface's name for it below ~/.insightface/models."""
    path = Path(name).expanduser()
    return MODELS / name if path.name == name and not path.is_dir() else path


def face_files(folder: Path) -> tuple[Path, ...]:
    """The files whose bytes decide what the networks say."""
    return tuple(sorted(folder.glob("*.onnx")))
