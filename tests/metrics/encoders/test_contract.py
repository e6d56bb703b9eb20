"""The contract of every encoder: those that ship and those that the user must provide."""

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from metrics.catalog import ENCODERS, METRICS, keep_features, make, open_feature_store
from metrics.encoders.runtime.feature_shard import FeatureShard
from metrics.encoders.runtime.image_cache import ImageCache
from metrics.encoders.runtime.inference import inference_mode, unit
from metrics.encoders.runtime.weight_files import SHIPPED, sha256
from metrics.interface import MetricError

pytestmark = [
    pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning"),
    pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning"),
    pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning"),
]
Settings = Mapping[str, Mapping[str, Any]]
METHOD = {
    "yunet": "boxes",
    "attributes": "describe",
    "lpips-alex": "embed",
    "lpips-vgg": "embed",
    "lpips-squeeze": "embed",
}
"""The method of encoders without `encode`."""


def open_encoder(name: str, settings: Settings) -> Any:
    """The encoder itself, from a metric that uses only this one."""
    metric = next(full for full, entry in METRICS.items() if entry.encoder == name and not entry.parts)
    samples, sets = make([metric], settings)
    (built,) = [*samples, *sets]
    return next(value for value in vars(built).values() if getattr(value, "name", "") == name)


@pytest.fixture(scope="module")
def two_of_each(settings: Settings) -> dict[str, tuple[Any, Any]]:
    """Two instances of each encoder, without a common cache."""
    return {name: (open_encoder(name, settings), open_encoder(name, settings)) for name in ENCODERS}


def outputs(encoder: Any, name: str, images: Sequence[Image.Image]) -> list[Any]:
    return list(getattr(encoder, METHOD.get(name, "encode"))(images))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return bool(one == other)
    return bool(np.asarray(one).tobytes() == np.asarray(other).tobytes())


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_results_do_not_depend_on_batch_size_or_order_and_images_are_encoded_once(
    name: str,
    two_of_each: dict[str, tuple[Any, Any]],
    photos: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder, other = two_of_each[name]
    cache = next(value for value in vars(encoder).values() if isinstance(value, ImageCache))
    sizes: list[int] = []
    compute = cache._compute

    def counted(images: list[Image.Image]) -> Sequence[Any]:
        sizes.append(len(images))
        return compute(images)

    monkeypatch.setattr(cache, "_compute", counted)
    together = outputs(encoder, name, [*photos, photos[0].copy()])
    again = outputs(encoder, name, photos[::-1])[::-1]
    alone = [outputs(other, name, [photo])[0] for photo in photos[::-1]][::-1]
    for first, second, third in zip(together[:-1], again, alone, strict=True):
        assert same(first, second)
        assert same(first, third)
    assert sum(sizes) == len(photos)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_features_from_the_store_equal_those_of_the_network(
    name: str,
    two_of_each: dict[str, tuple[Any, Any]],
    photos: list[Image.Image],
    settings: Settings,
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    expected = outputs(two_of_each[name][0], name, photos)
    for size in (3, len(photos)):
        encoder = open_encoder(name, settings)
        store = open_feature_store(tmp_path, lines.append)
        for part in (encoder, getattr(encoder, "yunet", None)):
            keep_features(part, store, encoder.fingerprint)
        assert all(map(same, outputs(encoder, name, photos[:size]), expected))
        store.flush()
    stored = [key for path in tmp_path.glob(f"{name}-*/*.safetensors") for key in FeatureShard(path).keys]
    assert len(stored) == len(set(stored)) == (0 if name == "lpips-vgg" else len(photos)), "vgg is too large"
    assert lines == []


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_fingerfingerprintcontains_weights_versions_resizing_and_precision(
    name: str, two_of_each: dict[str, tuple[Any, Any]]
) -> None:
    fingerprint = two_of_each[name][0].fingerprint
    named = fingerprint.get("network", fingerprint.get("detector", "")).split()
    assert named[0] in (name, "w_tiny"), "the network's name"
    assert len(named[-1]) == 12, "its digest"
    assert int(named[-1], 16) >= 0
    parts = {part.removeprefix("detector ") for part in fingerprint}
    assert {"resize", "dtype"} <= parts
    assert {"torch", "onnxruntime"} & parts
    if {"face", "detector"} & ENCODERS[name].serves and "image" not in ENCODERS[name].serves:
        assert {"detector", "detector size", "detector score", "face"} <= set(fingerprint)
    assert str(SHIPPED) not in str(fingerprint)
    assert "/tmp" not in str(fingerprint)


@pytest.mark.parametrize(
    "name", ["yunet", "sface", "mobilefacenet", "efficientnet-lite0", "inception-v3", "lpips-alex"]
)
def test_a_known_file_is_opened_when_it_is_first_used_and_any_other_at_once(
    name: str, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports of unchanged runs open no network; an unusable file is found before images are generated."""
    encoder = open_encoder(name, {})
    before = encoder.fingerprint
    assert not opened(encoder)
    outputs(encoder, name, photos[1:2])
    assert opened(encoder) or opened(encoder.yunet)
    assert encoder.fingerprint == before
    monkeypatch.setattr(inspect.getmodule(type(encoder)), "is_known", lambda path, *digests: False)
    assert opened(open_encoder(name, {}))


def opened(encoder: Any) -> bool:
    """Whether the network is in memory."""
    return any(isinstance(getattr(type(encoder), name, None), cached_property) for name in vars(encoder))


@pytest.mark.parametrize("name", [name for name in sorted(ENCODERS) if name not in METHOD])
def test_no_images_give_no_rows(
    name: str, two_of_each: dict[str, tuple[Any, Any]], photos: list[Image.Image]
) -> None:
    encoder, _ = two_of_each[name]
    assert encoder.encode([]).shape == (0, encoder.encode(photos[:1]).shape[1])


def test_unit_rows_have_length_one_and_rows_without_direction_become_infinite() -> None:
    rows = unit(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]], np.float32))
    assert rows[0] == pytest.approx([0.6, 0.8])
    assert np.isposinf(rows[1:]).all()


def test_inference_uses_full_precision_and_restores_the_settings() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with inference_mode():
            inside = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
            assert not torch.is_grad_enabled()
        after = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    assert inside == (False, False)
    assert after == (True, True)


def test_a_bounded_cache_keeps_the_most_recent_images() -> None:
    sizes: list[int] = []

    def compute(images: list[Image.Image]) -> list[NDArray[np.int64]]:
        sizes.append(len(images))
        return [np.array([image.getpixel((0, 0))[0]], np.int64) for image in images]  # type: ignore[index]

    cache = ImageCache(compute, max_bytes=16)
    one, two, three = (Image.new("RGB", (2, 2), (value, 0, 0)) for value in (1, 2, 3))
    assert cache([one, two]) == [1, 2]
    assert cache([one, three]) == [1, 3]
    assert cache([one]) == [1]
    assert sizes == [2, 1]
    assert cache([one, two, three, one]) == [1, 2, 3, 1]
    assert sizes == [2, 1, 1]


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_missing_weights_are_reported_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder, the places searched, how to get the weights, and an alternative encoder."""
    settings: Settings = (
        {} if name in ("yunet", "sface", "efficientnet-lite0") else {name: {"path": "/no/where"}}
    )
    if not settings:
        monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(MetricError) as caught:
        open_encoder(name, settings)
    line = str(caught.value)
    missing = "yunet" if name == "sface" else name
    place = "/no/where" if settings else "package "
    assert line.startswith(f"encoder {missing!r}: no weights (searched: {place}")
    assert any(cure in line for cure in ("set `path`", "pip install"))
    alternative = line.rpartition("; ")[2].removesuffix(" is an alternative")
    assert alternative in ENCODERS
    assert ENCODERS[alternative].serves & ENCODERS[name].serves or name in ("clip", "dinov2", "attributes")
    assert "\n" not in line


def test_the_digest_of_a_folder_covers_weights_and_configuration_only(tmp_path: Any) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "two" / "README.md").write_text("words")
    (tmp_path / "three" / "config.json").write_text("{}")
    one, two, three = (sha256(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one != three


ON_GPU = ("inception-v3", "efficientnet-lite0", "clip", "dinov2", "lpips-alex", "lpips-vgg", "lpips-squeeze")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ON_GPU)
def test_a_gpu_gives_the_same_features_as_a_cpu(
    name: str, settings: Settings, photos: list[Image.Image]
) -> None:
    cpu = np.array(outputs(open_encoder(name, settings), name, photos), np.float64)
    gpu = open_encoder(name, {**settings, name: {**settings.get(name, {}), "device": "cuda"}})
    assert np.array(outputs(gpu, name, photos), np.float64) == pytest.approx(
        cpu, rel=1e-3, abs=1e-4 * np.abs(cpu).max()
    )


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_fingerprint_contains_every_setting_of_the_encoder(
    name: str, two_of_each: dict[str, tuple[Any, Any]], settings: Settings
) -> None:
    encoder, entry = two_of_each[name][0], ENCODERS[name]
    parameters = list(inspect.signature(type(encoder)).parameters.values())[len(entry.parts) :]
    values = {p.name: p.default for p in parameters} | dict(entry.settings) | dict(settings.get(name, {}))
    located = {"path", "revision", "digest"}
    parts = set(encoder.fingerprint.values())
    for setting, value in values.items():
        if setting not in located:
            assert any(
                str(value) in (part, part.split()[-1], part.split()[0].split("-")[-1]) for part in parts
            )
