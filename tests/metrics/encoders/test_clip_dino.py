"""CLIP and DINOv2 compared with transformers on the same folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from metrics.catalog import make
from metrics.encoders.clip_dino import folder_of
from metrics.interface import MetricError, Sample

PROMPTS = ["a photo of a man", "a woman", "a photo of a photo of a photo of a photo of a man", "man"]


def samples_of(photos: list[Image.Image]) -> list[Sample]:
    pairs = zip(photos, PROMPTS, strict=True)
    return [Sample(str(i), "ada", "p", photo, prompt) for i, (photo, prompt) in enumerate(pairs)]


def test_clip_scores_equal_transformers(
    clip_folder: Path, settings: dict[str, Any], photos: list[Image.Image]
) -> None:
    from transformers import CLIPModel, CLIPProcessor

    (match,), _ = make(["prompt-match@clip"], settings)
    network = CLIPModel.from_pretrained(clip_folder)
    processor = CLIPProcessor.from_pretrained(clip_folder, backend="pil")
    inputs = processor(
        text=PROMPTS, images=photos, return_tensors="pt", padding=True, truncation=True, max_length=12
    )
    with torch.no_grad():
        output = network(**inputs)
    expected = (output.image_embeds * output.text_embeds).sum(1).numpy()
    scores = [score.value for score in match.score(samples_of(photos), [])]
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)


def test_dinov2_returns_the_class_token(
    dinov2_folder: Path, settings: dict[str, Any], photos: list[Image.Image]
) -> None:
    from transformers import AutoImageProcessor, Dinov2Model

    (identity,), _ = make(["identity@dinov2"], settings)
    ours = identity.network.encode(photos)  # type: ignore[attr-defined]
    processor = AutoImageProcessor.from_pretrained(dinov2_folder, use_fast=False)
    pixels = processor(photos, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        token = Dinov2Model.from_pretrained(dinov2_folder)(pixels).last_hidden_state[:, 0].numpy()
    assert ours == pytest.approx(token / np.linalg.norm(token, axis=1, keepdims=True), abs=1e-4)


@pytest.mark.parametrize("encoder", ["clip", "dinov2"])
def test_images_are_resized_with_pil(encoder: str, settings: dict[str, Any]) -> None:
    (identity,), _ = make([f"identity@{encoder}"], settings)
    processor = identity.network._processor  # type: ignore[attr-defined]
    assert any("PilBackend" in cls.__name__ for cls in type(processor).__mro__), type(processor).__mro__


def store_in_cache(cache: Path, name: str, folder: Path) -> None:
    """Store a snapshot in the layout of huggingface_hub."""
    home = cache / f"models--{name.replace('/', '--')}"
    snapshot = home / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0123abcd")
    for file in folder.iterdir():
        (snapshot / file.name).symlink_to(file)


def test_a_hub_id_is_read_from_the_cache_with_equal_scores_and_fingerprint(
    clip_folder: Path, settings: dict[str, Any], photos: list[Image.Image], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    store_in_cache(tmp_path, "example/tiny-clip", clip_folder)
    (by_path,), _ = make(["prompt-match@clip"], settings)
    (by_id,), _ = make(["prompt-match@clip"], {"clip": {"path": "example/tiny-clip"}})
    assert by_id.score(samples_of(photos), []) == by_path.score(samples_of(photos), [])
    assert by_id.fingerprint == by_path.fingerprint
    with pytest.raises(MetricError, match=r"example/tiny-clip at v2 in .*hf download example/tiny-clip"):
        folder_of("clip", "example/tiny-clip", "v2")


def test_a_hub_id_outside_the_cache_is_rejected_in_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MetricError) as caught:
        make(["identity@dinov2"], {"dinov2": {"path": "facebook/dinov2-base"}})
    assert str(caught.value) == (
        "encoder 'dinov2': no weights (searched: folder facebook/dinov2-base, "
        f"facebook/dinov2-base at main in {tmp_path}); run `hf download facebook/dinov2-base` once with "
        "network, or set `path` in [encoders.dinov2] to a folder; sface is an alternative"
    )


def test_a_missing_path_is_rejected_with_an_example() -> None:
    with pytest.raises(MetricError, match=r"searched: no path given.* an id such as openai/clip-"):
        make(["prompt-match@clip"])


def copy_files(folder: Path, into: Path) -> dict[str, torch.Tensor]:
    for file in folder.iterdir():
        (into / file.name).write_bytes(file.read_bytes())
    return load_file(into / "model.safetensors")


def test_a_folder_with_missing_weights_is_rejected(clip_folder: Path, tmp_path: Path) -> None:
    tensors = copy_files(clip_folder, tmp_path)
    del tensors["visual_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(MetricError, match="1 weights are missing"):
        make(["prompt-match@clip"], {"clip": {"path": str(tmp_path)}})
    with pytest.raises(MetricError, match=r"no config\.json"):
        make(["prompt-match@clip"], {"clip": {"path": str(tmp_path.parent)}})


def test_non_finite_weights_give_a_reason_instead_of_a_number(
    clip_folder: Path, photos: list[Image.Image], tmp_path: Path
) -> None:
    tensors = copy_files(clip_folder, tmp_path)
    tensors["visual_projection.weight"][0, 0] = torch.nan
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (match,), _ = make(["prompt-match@clip"], {"clip": {"path": str(tmp_path)}})
    for score in match.score(samples_of(photos), []):
        assert score.value is None
        assert score.reason == "the network's output is not finite"


def test_the_fingerprint_depends_on_the_weights_and_not_on_folder_name_or_readme(
    dinov2_folder: Path, tmp_path: Path
) -> None:
    tensors = copy_files(dinov2_folder, tmp_path)
    (tmp_path / "README.md").write_text("Words.")
    (one,), _ = make(["identity@dinov2"], {"dinov2": {"path": str(dinov2_folder)}})
    (other,), _ = make(["identity@dinov2"], {"dinov2": {"path": str(tmp_path)}})
    assert one.fingerprint == other.fingerprint
    (tmp_path / "changed").mkdir()
    copy_files(dinov2_folder, tmp_path / "changed")
    name = next(name for name in tensors if name.endswith("norm1.bias"))
    save_file(
        {**tensors, name: tensors[name] + 1}, tmp_path / "changed" / "model.safetensors", {"format": "pt"}
    )
    (changed,), _ = make(["identity@dinov2"], {"dinov2": {"path": str(tmp_path / "changed")}})
    assert changed.fingerprint != one.fingerprint
