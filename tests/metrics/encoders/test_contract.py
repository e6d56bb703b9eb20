"""What every encoder owes its reader, the embedded ones and those that must be brought."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.catalog import ENCODERS, METRICS, make
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
SEES = {
    "yunet": "boxes",
    "attributes": "describe",
    "lpips-alex": "embed",
    "lpips-vgg": "embed",
    "lpips-squeeze": "embed",
}
"""What is asked of an encoder that gives no vectors."""


def opened(name: str, settings: Settings) -> Any:
    """The encoder itself, out of a metric that uses it alone."""
    metric = next(full for full, entry in METRICS.items() if entry.encoder == name and not entry.parts)
    samples, sets = make([metric], settings)
    (made,) = [*samples, *sets]
    return next(value for value in vars(made).values() if getattr(value, "name", "") == name)


@pytest.fixture(scope="module")
def two_of_each(settings: Settings) -> dict[str, tuple[Any, Any]]:
    """Two of each encoder, which share no memory."""
    return {name: (opened(name, settings), opened(name, settings)) for name in ENCODERS}


def looked(encoder: Any, name: str, images: Sequence[Image.Image]) -> list[Any]:
    return list(getattr(encoder, SEES.get(name, "encode"))(images))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return bool(one == other)
    return np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_batch_size_and_order_change_nothing_and_each_picture_is_looked_at_once(
    name: str,
    two_of_each: dict[str, tuple[Any, Any]],
    photos: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder, other = two_of_each[name]
    memo = next(value for value in vars(encoder).values() if isinstance(value, ImageCache))
    sizes: list[int] = []
    look = memo._look

    def counted(images: list[Image.Image]) -> Sequence[Any]:
        sizes.append(len(images))
        return look(images)

    monkeypatch.setattr(memo, "_look", counted)
    together = looked(encoder, name, [*photos, photos[0].copy()])
    again = looked(encoder, name, photos[::-1])[::-1]
    alone = [looked(other, name, [photo])[0] for photo in photos[::-1]][::-1]
    for first, second, third in zip(together[:-1], again, alone, strict=True):
        assert same(first, second)
        assert same(first, third)
    assert sum(sizes) == len(photos)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_fingerprint_names_weights_versions_resizing_and_precision(
    name: str, two_of_each: dict[str, tuple[Any, Any]]
) -> None:
    print_ = two_of_each[name][0].fingerprint
    named = print_.get("network", print_.get("detector", "")).split()
    assert named[0] in (name, "w_tiny"), "the network's name"
    assert len(named[-1]) == 12, "its digest"
    assert int(named[-1], 16) >= 0
    parts = {part.removeprefix("detector ") for part in print_}
    assert {"resize", "dtype"} <= parts
    assert {"torch", "onnxruntime"} & parts
    if {"face", "finder"} & ENCODERS[name].serves and "picture" not in ENCODERS[name].serves:
        assert {"detector", "detector size", "detector score", "face"} <= set(print_)
    assert str(SHIPPED) not in str(print_)
    assert "/tmp" not in str(print_)


@pytest.mark.parametrize("name", [name for name in sorted(ENCODERS) if name not in SEES])
def test_no_pictures_make_no_rows(
    name: str, two_of_each: dict[str, tuple[Any, Any]], photos: list[Image.Image]
) -> None:
    encoder, _ = two_of_each[name]
    assert encoder.encode([]).shape == (0, encoder.encode(photos[:1]).shape[1])


def test_unit_rows_have_length_one_and_what_has_no_direction_becomes_infinite() -> None:
    rows = unit(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]], np.float32))
    assert rows[0] == pytest.approx([0.6, 0.8])
    assert np.isposinf(rows[1:]).all()


def test_networks_look_in_full_precision_and_leave_the_setting_as_it_was() -> None:
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


def test_a_bounded_memory_keeps_what_was_asked_for_last() -> None:
    sizes: list[int] = []

    def look(images: list[Image.Image]) -> list[int]:
        sizes.append(len(images))
        return [image.getpixel((0, 0))[0] for image in images]  # type: ignore[index,misc]

    memo = ImageCache(look, most=2)
    one, two, three = (Image.new("RGB", (2, 2), (value, 0, 0)) for value in (1, 2, 3))
    assert memo([one, two]) == [1, 2]
    assert memo([one, three]) == [1, 3]
    assert memo([one]) == [1]
    assert sizes == [2, 1]
    assert memo([one, two, three, one]) == [1, 2, 3, 1]
    assert sizes == [2, 1, 1]


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_missing_weights_get_one_line_with_everything_in_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What, where it was looked for, how to get it, and which encoder could stand in."""
    wanted: Settings = (
        {} if name in ("yunet", "sface", "efficientnet-lite0") else {name: {"path": "/no/where"}}
    )
    if not wanted:
        monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(MetricError) as caught:
        opened(name, wanted)
    line = str(caught.value)
    missing = "yunet" if name == "sface" else name
    place = "/no/where" if wanted else "package "
    assert line.startswith(f"encoder {missing!r}: no weights (looked in: {place}")
    assert any(cure in line for cure in ("set `path`", "pip install"))
    stand_in = line.rpartition("; ")[2].removesuffix(" could stand in")
    assert stand_in in ENCODERS
    assert ENCODERS[stand_in].serves & ENCODERS[name].serves or name in ("clip", "dinov2", "attributes")
    assert "\n" not in line


def test_a_folders_digest_is_of_what_is_read(tmp_path: Any) -> None:
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
def test_a_gpu_sees_what_a_cpu_sees(name: str, settings: Settings, photos: list[Image.Image]) -> None:
    cpu = np.array(looked(opened(name, settings), name, photos), np.float64)
    gpu = opened(name, {**settings, name: {**settings.get(name, {}), "device": "cuda"}})
    assert np.array(looked(gpu, name, photos), np.float64) == pytest.approx(
        cpu, rel=1e-3, abs=1e-4 * np.abs(cpu).max()
    )
