"""LPIPS as an embedding against the lpips package called pair by pair."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from metrics.catalog import make
from metrics.encoders.lpips_features import FILES, LpipsMaps
from metrics.encoders.runtime.weight_files import sha256
from metrics.interface import MetricError, Sample
from metrics.scores.diversity import CROP, face_crop
from metrics.statistics.pairwise_distance import mean_pairwise, pairwise

pytestmark = [
    pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning"),
    pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning"),
]
NETS = ("alex", "vgg", "squeeze")
Peers = dict[str, tuple[Path, Any]]


def pair_by_pair(theirs: Any, images: list[Image.Image], side: int) -> NDArray[np.float64]:
    resized = [image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for image in images]
    tensors = [torch.from_numpy(np.array(i)).permute(2, 0, 1)[None].float() / 127.5 - 1 for i in resized]
    distances = np.zeros((len(images), len(images)))
    with torch.no_grad():
        for i, j in itertools.combinations(range(len(images)), 2):
            distances[i, j] = distances[j, i] = theirs(tensors[i], tensors[j]).item()
    return distances


@pytest.mark.parametrize("net", NETS)
def test_the_embedding_is_the_lpips_package_pair_by_pair(
    net: str, settings: dict[str, Any], lpips_peers: Peers, photos: list[Image.Image]
) -> None:
    (diversity,), _ = make([f"diversity@lpips-{net}"], settings)
    rows = diversity.network.embed(photos)  # type: ignore[attr-defined]
    wanted = pair_by_pair(lpips_peers[net][1], photos, 64)
    assert pairwise(rows) == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    assert wanted.max() > 1e-3
    others = wanted[~np.eye(len(photos), dtype=bool)]
    assert mean_pairwise(rows) == pytest.approx(others.mean(), rel=1e-4)


def test_pictures_that_hardly_differ_keep_their_distance(
    settings: dict[str, Any], lpips_peers: Peers, photos: list[Image.Image]
) -> None:
    """A distance that is a thousandth of the usual one must not drown in the sums of both."""
    pixels = np.array(photos[1])
    pixels[20:24, 20:24] ^= 1
    alike = [photos[1], Image.fromarray(pixels)]
    (diversity,), _ = make(["diversity@lpips-squeeze"], settings)
    ours = pairwise(diversity.network.embed(alike))[0, 1]  # type: ignore[attr-defined]
    wanted = pair_by_pair(lpips_peers["squeeze"][1], alike, 64)[0, 1]
    assert 0 < wanted < 1e-3
    assert ours == pytest.approx(wanted, rel=1e-3)


def test_the_real_loaders_of_both_read_the_same_published_file(
    photos: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's whole SqueezeNet, under its published name, where torchvision puts what it downloads."""
    import lpips
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / FILES["squeeze"]
    path.parent.mkdir(parents=True)
    torch.manual_seed(5)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    theirs = lpips.LPIPS(net="squeeze", verbose=False)
    ours = LpipsMaps("squeeze", digest=sha256(path), side=64).embed(photos)
    assert pairwise(ours) == pytest.approx(pair_by_pair(theirs, photos, 64), rel=1e-4, abs=1e-7)


def test_face_diversity_is_lpips_between_the_faces(
    settings: dict[str, Any], lpips_peers: Peers, portraits: list[Sample]
) -> None:
    samples = portraits[:3]
    (metric,), _ = make(["face-diversity@lpips-alex"], settings)
    boxes = metric.finder.boxes([sample.image for sample in samples])  # type: ignore[attr-defined]
    crops = [face_crop(sample.image, found[0]) for sample, found in zip(samples, boxes, strict=True)]
    assert {crop.size for crop in crops} == {(CROP, CROP)}
    wanted = pair_by_pair(lpips_peers["alex"][1], crops, 64).sum(1) / 2
    scores = [score.value for score in metric.score(samples, [])]
    assert scores == pytest.approx(wanted.tolist(), rel=1e-4)
    (whole,), _ = make(["diversity@lpips-alex"], settings)
    assert [score.value for score in whole.score(samples, [])] != pytest.approx(scores, rel=1e-2)


def test_the_nearest_reference_is_lpips_smallest(
    settings: dict[str, Any], lpips_peers: Peers, photos: list[Image.Image]
) -> None:
    (metric,), _ = make(["nearest-reference@lpips-squeeze"], settings)
    sample = Sample("s", "ada", "p", photos[0], "", references=tuple(photos[1:]))
    copy = Sample("t", "ada", "p", photos[2], "", references=tuple(photos[1:]))
    wanted = pair_by_pair(lpips_peers["squeeze"][1], photos, 64)[0, 1:].min()
    near, same = metric.score([sample, copy], [])
    assert near.value == pytest.approx(wanted, rel=1e-4)
    assert same.value == 0


def test_another_backbone_than_torchvisions_is_refused_unless_named(tmp_path: Path) -> None:
    path = tmp_path / "backbone.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(MetricError, match=r"wanted 7be5be79\.\.\.; download https://.* or set `digest`"):
        make(["diversity@lpips-alex"], {"lpips-alex": {"path": str(path)}})
    with pytest.raises(MetricError, match=r"no features\.0\.weight of shape"):
        make(["diversity@lpips-alex"], {"lpips-alex": {"path": str(path), "digest": sha256(path)}})


def test_a_cut_file_gets_one_line(tmp_path: Path, lpips_peers: Peers) -> None:
    path = tmp_path / "backbone.pth"
    path.write_bytes(lpips_peers["squeeze"][0].read_bytes()[:1000])
    with pytest.raises(MetricError, match="not a file of tensors") as caught:
        LpipsMaps("squeeze", path, digest=sha256(path))
    assert "\n" not in str(caught.value)


def test_opening_it_draws_nothing_from_the_global_generator(settings: dict[str, Any]) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    make(["diversity@lpips-squeeze"], settings)
    assert torch.equal(torch.rand(1), wanted)
