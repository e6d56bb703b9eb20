"""Inception-v3 compared with clean-fid on the same TorchScript file, from pixels to distances."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.catalog import make
from metrics.encoders.inception import FILE, Inception, resized
from metrics.encoders.runtime.weight_files import sha256
from metrics.interface import MetricError
from metrics.statistics.frechet import frechet_distance


@pytest.fixture(scope="module")
def inception(inception_file: Path) -> Inception:
    return Inception(inception_file, digest=sha256(inception_file))


@pytest.mark.parametrize("size", [(64, 64), (64, 50), (301, 640), (299, 299)])
def test_the_resize_equals_clean_fid_exactly(size: tuple[int, int]) -> None:
    from cleanfid.resize import build_resizer

    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert np.array_equal(resized(Image.fromarray(noise)), build_resizer("clean")(noise))


def test_features_of_image_files_equal_clean_fid(
    inception: Inception, inception_file: Path, photos: list[Image.Image], tmp_path: Path
) -> None:
    from cleanfid.fid import get_folder_features
    from cleanfid.inception_torchscript import InceptionV3W

    for number, photo in enumerate(photos):
        photo.save(tmp_path / f"{number}.png")
    theirs = get_folder_features(
        str(tmp_path),
        InceptionV3W(str(inception_file.parent), download=False),
        num_workers=0,
        device=torch.device("cpu"),
        verbose=False,
    )
    assert inception.encode(photos) == pytest.approx(theirs, rel=1e-5, abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*disp.*:DeprecationWarning")
def test_the_distance_of_two_folders_equals_clean_fid(
    inception: Inception, inception_file: Path, tmp_path: Path
) -> None:
    from cleanfid.fid import fid_from_feats, get_folder_features
    from cleanfid.inception_torchscript import InceptionV3W

    rng = np.random.default_rng(1)
    images = [Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)) for _ in range(24)]
    theirs = InceptionV3W(str(inception_file.parent), download=False)
    features = []
    for name, part in (("a", images[:12]), ("b", images[12:])):
        (tmp_path / name).mkdir()
        for number, image in enumerate(part):
            image.save(tmp_path / name / f"{number:02d}.png")
        features.append(
            get_folder_features(
                str(tmp_path / name), theirs, num_workers=0, device=torch.device("cpu"), verbose=False
            )
        )
    # The first 64 of 2,048 features: with all of them, clean-fid takes half a minute.
    expected = fid_from_feats(*(part[:, :64].astype(np.float64) for part in features))
    ours = [inception.encode(part)[:, :64] for part in (images[:12], images[12:])]
    assert frechet_distance(*ours) == pytest.approx(expected, rel=1e-4)


def test_probabilities_are_computed_without_the_output_bias(
    inception: Inception, inception_file: Path, photos: list[Image.Image]
) -> None:
    network = torch.jit.load(str(inception_file)).eval()
    images = torch.from_numpy(np.stack([resized(photo) for photo in photos])).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = network(images, no_output_bias=True).numpy()
    assert inception.probabilities(photos) == pytest.approx(expected, rel=1e-4)


def test_any_other_file_requires_its_digest(inception_file: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(
        MetricError, match=r"expected f58cb9b6ec32\.\.\.; download https://.* or set `digest`"
    ):
        make(["fid@inception-v3"], {"inception-v3": {"path": str(inception_file)}})
    with pytest.raises(MetricError, match=r"expected \.\.\."):
        make(["fid@inception-v3"], {"inception-v3": {"path": str(inception_file), "digest": ""}})
    _, (fid,) = make(["fid@inception-v3"], settings)
    assert sha256(inception_file)[:12] in fid.fingerprint["network"]


@pytest.mark.parametrize("place", ["tmp", "home/.cache/k-diffusion", "torch/hub/checkpoints"])
def test_the_file_is_found_in_the_usual_places(
    place: str, inception_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(MetricError, match=rf"searched: {tmp_path}/tmp/{FILE}, .*; download https"):
        Inception()
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / FILE).write_bytes(inception_file.read_bytes())
    assert Inception(digest=sha256(inception_file)).encode([Image.new("RGB", (8, 8))]).shape == (1, 2048)


def test_a_file_that_is_not_torchscript_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(b"half a download")
    with pytest.raises(MetricError, match="not a TorchScript file"):
        Inception(path, digest=sha256(path))
