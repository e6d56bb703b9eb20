"""ArcFace compared with the components of insightface, called one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from metrics.catalog import make
from metrics.encoders.faces.alignment import FACE, align, similarity_transform
from metrics.encoders.faces.arcface import ArcFace
from metrics.interface import MetricError, Sample

RED, BLUE, WHITE = (255, 160, 160), (180, 180, 250), (255, 255, 255)

pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")


@pytest.fixture
def arcface(settings: dict[str, Any]) -> ArcFace:
    (identity,), _ = make(["identity@arcface"], settings)
    found: ArcFace = identity.network  # type: ignore[attr-defined]
    return found


def scene(*faces: tuple[int, int, tuple[int, int, int]]) -> Image.Image:
    image = Image.new("RGB", (64, 64))
    for x, y, colour in faces:
        image.paste(colour, (x, y, x + 8, y + 8))
    return image


def by_hand(folder: Path, image: Image.Image) -> NDArray[np.float32]:
    """Detector, alignment and network of insightface, one after the other, on blue, green and red."""
    from insightface.model_zoo import get_model
    from insightface.utils.face_align import norm_crop

    detector, network = (get_model(str(folder / name)) for name in ("det_tiny.onnx", "w_tiny.onnx"))
    detector.prepare(-1, input_size=(64, 64), det_thresh=0.3)
    bgr = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    boxes, landmarks = detector.detect(bgr)
    largest = np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    vector: NDArray[np.float32] = network.get_feat(norm_crop(bgr, landmarks[largest], FACE))[0]
    return vector / np.linalg.norm(vector)


def test_vectors_equal_the_insightface_components(arcface: ArcFace, insightface_folder: Path) -> None:
    images = [scene((16, 16, RED)), scene((16, 16, RED), (40, 32, WHITE)), scene((8, 40, BLUE))]
    expected = np.array([by_hand(insightface_folder, image) for image in images])
    assert arcface.encode(images) == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected[0] - expected[2]).max() > 0.01


def test_vectors_equal_the_insightface_embeddings(
    arcface: ArcFace, insightface_folder: Path, photos: list[Image.Image]
) -> None:
    from insightface.app import FaceAnalysis

    app = FaceAnalysis(str(insightface_folder), providers=["CPUExecutionProvider"])
    app.prepare(-1, det_thresh=0.3, det_size=(64, 64))
    bright = [photo.point(lambda value: 128 + value // 2) for photo in photos]
    for photo, ours in zip(bright, arcface.encode(bright), strict=True):
        faces = app.get(np.ascontiguousarray(np.asarray(photo)[:, :, ::-1]))
        largest = max(faces, key=lambda f: (f.bbox[2] - f.bbox[0]) * (f.bbox[3] - f.bbox[1]))
        assert len(faces) > 1
        assert ours == pytest.approx(largest.normed_embedding, abs=1e-5)


def test_the_largest_face_is_encoded_with_correct_channel_order(arcface: ArcFace) -> None:
    images = [scene((16, 16, RED)), scene((16, 16, RED), (40, 40, WHITE)), scene()]
    vectors, boxes = arcface.encode(images), arcface.boxes(images)
    assert vectors.shape == (3, 512)
    assert np.linalg.norm(vectors[:2], axis=1) == pytest.approx([1, 1])
    assert np.isnan(vectors[2]).all()
    assert [len(found) for found in boxes] == [1, 2, 0]
    largest = boxes[1][0]
    assert largest[2] * largest[3] > boxes[1][1][2] * boxes[1][1][3]
    assert largest[0] + largest[2] / 2 == pytest.approx(40, abs=1)
    redness = vectors[:2, 0] - vectors[:2, 2]
    assert redness[0] > 0.05, "red and blue are swapped"
    assert abs(redness[1]) < redness[0] / 3


def test_the_detector_size_is_fixed_and_part_of_the_fingerprint(
    settings: dict[str, Any], arcface: ArcFace
) -> None:
    """The default of insightface has changed, and is now two sizes at once."""
    assert arcface._app.det_model.input_sizes == [(64, 64)]
    assert arcface.fingerprint["detector size"] == "64"
    (other,), _ = make(["identity@arcface"], {"arcface": {**settings["arcface"], "detector_size": 128}})
    assert other.network._app.det_model.input_sizes == [(128, 128)]  # type: ignore[attr-defined]
    assert other.fingerprint != arcface.fingerprint


def test_the_alignment_equals_insightface(photos: list[Image.Image]) -> None:
    from insightface.utils.face_align import estimate_norm, norm_crop

    landmarks = np.array([[22.0, 27.0], [41.0, 30.0], [31.0, 38.0], [24.0, 46.0], [38.0, 48.0]])
    corners = [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
    matrix = similarity_transform(landmarks, np.array(corners))
    assert matrix == pytest.approx(estimate_norm(landmarks), abs=1e-4)
    photo = photos[2]
    theirs = norm_crop(np.asarray(photo), landmarks).astype(float)
    ours = align(photo, landmarks).astype(float)
    shifted = align(photo, landmarks + 0.5).astype(float)
    # Ours is bicubic, theirs bilinear: the difference must be below that of half a pixel.
    assert np.abs(ours - theirs).mean() < 2
    assert np.abs(ours - theirs).mean() < 0.5 * np.abs(shifted - theirs).mean()


def test_a_folder_without_a_recognition_model_is_rejected(tmp_path: Path, insightface_folder: Path) -> None:
    (tmp_path / "det.onnx").write_bytes((insightface_folder / "det_tiny.onnx").read_bytes())
    with pytest.raises(MetricError, match="no recognition model"):
        make(["identity@arcface"], {"arcface": {"path": str(tmp_path), "detector_size": 64}})
    with pytest.raises(MetricError, match="insightface finds no detector in it"):
        make(["identity@arcface"], {"arcface": {"path": str(tmp_path.parent)}})


def test_a_truncated_network_file_is_rejected(tmp_path: Path, insightface_folder: Path) -> None:
    for path in insightface_folder.glob("*.onnx"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:1000])
    with pytest.raises(MetricError, match="cannot open a network"):
        make(["identity@arcface"], {"arcface": {"path": str(tmp_path), "detector_size": 64}})


def test_a_non_finite_network_gives_a_reason_instead_of_a_number(
    tmp_path: Path, insightface_folder: Path, settings: dict[str, Any]
) -> None:
    (tmp_path / "det.onnx").write_bytes((insightface_folder / "det_tiny.onnx").read_bytes())
    network = onnx.load(str(insightface_folder / "w_tiny.onnx"))
    (weights,) = (tensor for tensor in network.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(np.full((192, 512), np.nan, np.float32), "weights"))
    onnx.save(network, str(tmp_path / "w_tiny.onnx"))
    (identity,), _ = make(["identity@arcface"], {"arcface": {**settings["arcface"], "path": str(tmp_path)}})
    red = scene((16, 16, RED))
    (score,) = identity.score([Sample("s", "ada", "p", red, "", held_out=(red,))], [])
    assert score.value is None
    assert score.reason == "the network's output is not finite"
