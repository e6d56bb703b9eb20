"""LPIPS as an embedding, compared with the package lpips called pair by pair."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from metrics.catalog import make
from metrics.encoders.lpips_features import CONVERTED, LpipsFeatures
from metrics.encoders.runtime.usual_places import BACKBONES
from metrics.encoders.runtime.weight_files import SHIPPED, sha256
from metrics.interface import MetricError, Sample
from metrics.scores.diversity import CROP, face_crop
from metrics.statistics.pairwise_distance import mean_to_others, squared_distances

pytestmark = [
    pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning"),
    pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning"),
]
NETS = ("alex", "vgg", "squeeze")
Networks = dict[str, tuple[Path, Any]]


def pair_by_pair(theirs: Any, images: list[Image.Image], side: int) -> NDArray[np.float64]:
    resized = [image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for image in images]
    tensors = [torch.from_numpy(np.array(i)).permute(2, 0, 1)[None].float() / 127.5 - 1 for i in resized]
    distances = np.zeros((len(images), len(images)))
    with torch.no_grad():
        for i, j in itertools.combinations(range(len(images)), 2):
            distances[i, j] = distances[j, i] = theirs(tensors[i], tensors[j]).item()
    return distances


@pytest.mark.parametrize("net", NETS)
def test_distances_of_embeddings_equal_lpips(
    net: str, settings: dict[str, Any], lpips_networks: Networks, photos: list[Image.Image]
) -> None:
    (diversity,), _ = make([f"diversity@lpips-{net}"], settings)
    rows = diversity.network.embed(photos)  # type: ignore[attr-defined]
    expected = pair_by_pair(lpips_networks[net][1], photos, 64)
    assert squared_distances(rows) == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert expected.max() > 1e-3
    others = expected[~np.eye(len(photos), dtype=bool)]
    assert mean_to_others(rows).mean() == pytest.approx(others.mean(), rel=1e-4)


def test_small_distances_keep_their_precision(
    settings: dict[str, Any], lpips_networks: Networks, photos: list[Image.Image]
) -> None:
    """A distance of a thousandth of the usual one must not be lost to rounding."""
    pixels = np.array(photos[1])
    pixels[20:24, 20:24] ^= 1
    similar = [photos[1], Image.fromarray(pixels)]
    (diversity,), _ = make(["diversity@lpips-squeeze"], settings)
    ours = squared_distances(diversity.network.embed(similar))[0, 1]  # type: ignore[attr-defined]
    expected = pair_by_pair(lpips_networks["squeeze"][1], similar, 64)[0, 1]
    assert 0 < expected < 1e-3
    assert ours == pytest.approx(expected, rel=1e-3)


def test_a_published_file_gives_the_same_distances_as_lpips(
    photos: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's complete SqueezeNet, under its published name in torchvision's download folder."""
    import lpips
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / BACKBONES["squeeze"]
    path.parent.mkdir(parents=True)
    torch.manual_seed(5)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    theirs = lpips.LPIPS(net="squeeze", verbose=False)
    ours = LpipsFeatures("squeeze", digest=sha256(path), side=64).embed(photos)
    assert squared_distances(ours) == pytest.approx(pair_by_pair(theirs, photos, 64), rel=1e-4, abs=1e-7)


def test_the_shipped_backbone_gives_the_distances_of_lpips(photos: list[Image.Image]) -> None:
    """The package lpips with the shipped AlexNet and its own heads, at the default size."""
    import lpips

    ours = LpipsFeatures("alex")
    assert ours.fingerprint["network"].endswith(CONVERTED["alex"][:12])
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    stored = load_file(SHIPPED / "lpips-alex.safetensors")
    assert len(stored) == 10
    for key, value in theirs.net.state_dict().items():
        value.copy_(stored[f"features.{key.partition('.')[2]}"])
    expected = pair_by_pair(theirs, photos, 256)
    assert squared_distances(ours.embed(photos)) == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert expected.max() > 0.1


def test_a_shift_is_closer_than_noise_of_the_same_error(photos: list[Image.Image]) -> None:
    """As people judge; a known answer that random weights do not give."""
    pixels = np.asarray(photos[1], np.float32)
    shifted = np.roll(pixels, 1, axis=1)
    noise = np.random.default_rng(0).normal(size=pixels.shape) * (shifted - pixels).std()
    images = [pixels, shifted, (pixels + noise).clip(0, 255)]
    rows = LpipsFeatures("alex").embed([Image.fromarray(image.astype(np.uint8)) for image in images])
    near, far = squared_distances(rows)[0, 1:]
    assert near < far / 2


def test_face_diversity_equals_lpips_between_face_crops(
    settings: dict[str, Any], lpips_networks: Networks, portraits: list[Sample]
) -> None:
    samples = portraits[:3]
    (metric,), _ = make(["face-diversity@lpips-alex"], settings)
    boxes = metric.detector.boxes([sample.image for sample in samples])  # type: ignore[attr-defined]
    crops = [face_crop(sample.image, found[0]) for sample, found in zip(samples, boxes, strict=True)]
    assert {crop.size for crop in crops} == {(CROP, CROP)}
    expected = pair_by_pair(lpips_networks["alex"][1], crops, 64).sum(1) / 2
    scores = [score.value for score in metric.score(samples, [])]
    assert scores == pytest.approx(expected.tolist(), rel=1e-4)
    (whole,), _ = make(["diversity@lpips-alex"], settings)
    assert [score.value for score in whole.score(samples, [])] != pytest.approx(scores, rel=1e-2)


def test_nearest_reference_equals_the_smallest_lpips(
    settings: dict[str, Any], lpips_networks: Networks, photos: list[Image.Image]
) -> None:
    (metric,), _ = make(["nearest-reference@lpips-squeeze"], settings)
    sample = Sample("s", "ada", "p", photos[0], "", references=tuple(photos[1:]))
    copy = Sample("t", "ada", "p", photos[2], "", references=tuple(photos[1:]))
    expected = pair_by_pair(lpips_networks["squeeze"][1], photos, 64)[0, 1:].min()
    near, same = metric.score([sample, copy], [])
    assert near.value == pytest.approx(expected, rel=1e-4)
    assert same.value == 0


def test_any_other_backbone_requires_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "backbone.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(MetricError, match=r"expected 7be5be79\.\.\.; download https://.* or set `digest`"):
        make(["diversity@lpips-alex"], {"lpips-alex": {"path": str(path)}})
    with pytest.raises(MetricError, match=r"no features\.0\.weight of shape"):
        make(["diversity@lpips-alex"], {"lpips-alex": {"path": str(path), "digest": sha256(path)}})


def test_a_truncated_file_is_rejected_in_one_line(tmp_path: Path, lpips_networks: Networks) -> None:
    path = tmp_path / "backbone.pth"
    path.write_bytes(lpips_networks["squeeze"][0].read_bytes()[:1000])
    with pytest.raises(MetricError, match="not a file of tensors") as caught:
        LpipsFeatures("squeeze", path, digest=sha256(path))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_loading_gives_no_warning() -> None:
    LpipsFeatures("alex")


def test_loading_does_not_change_the_global_generator(settings: dict[str, Any]) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    make(["diversity@lpips-squeeze"], settings)
    assert torch.equal(torch.rand(1), expected)
