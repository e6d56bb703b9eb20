"""CLIP and DINOv2 against what transformers itself makes of the same folders."""

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


def asked(photos: list[Image.Image]) -> list[Sample]:
    pairs = zip(photos, PROMPTS, strict=True)
    return [Sample(str(i), "ada", "p", photo, prompt) for i, (photo, prompt) in enumerate(pairs)]


def test_clip_gives_what_transformers_gives(
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
    wanted = (output.image_embeds * output.text_embeds).sum(1).numpy()
    scores = [score.value for score in match.score(asked(photos), [])]
    assert scores == pytest.approx(wanted.tolist(), abs=1e-5)


def test_dinov2_gives_the_class_token(
    dinov2_folder: Path, settings: dict[str, Any], photos: list[Image.Image]
) -> None:
    from transformers import AutoImageProcessor, Dinov2Model

    (identity,), _ = make(["identity@dinov2"], settings)
    ours = identity.face.encode(photos)  # type: ignore[attr-defined]
    processor = AutoImageProcessor.from_pretrained(dinov2_folder, use_fast=False)
    pixels = processor(photos, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        token = Dinov2Model.from_pretrained(dinov2_folder)(pixels).last_hidden_state[:, 0].numpy()
    assert ours == pytest.approx(token / np.linalg.norm(token, axis=1, keepdims=True), abs=1e-4)


@pytest.mark.parametrize("encoder", ["clip", "dinov2"])
def test_pictures_are_resized_with_pil(encoder: str, settings: dict[str, Any]) -> None:
    (identity,), _ = make([f"identity@{encoder}"], settings)
    processor = identity.face._processor  # type: ignore[attr-defined]
    assert any("PilBackend" in cls.__name__ for cls in type(processor).__mro__), type(processor).__mro__


def cached(cache: Path, name: str, folder: Path) -> None:
    """A snapshot as huggingface_hub lays it down."""
    home = cache / f"models--{name.replace('/', '--')}"
    snapshot = home / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0123abcd")
    for file in folder.iterdir():
        (snapshot / file.name).symlink_to(file)


def test_an_id_is_looked_up_in_the_cache_and_gives_the_same_numbers_and_name(
    clip_folder: Path, settings: dict[str, Any], photos: list[Image.Image], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached(tmp_path, "somebody/tiny-clip", clip_folder)
    (by_path,), _ = make(["prompt-match@clip"], settings)
    (by_id,), _ = make(["prompt-match@clip"], {"clip": {"path": "somebody/tiny-clip"}})
    assert by_id.score(asked(photos), []) == by_path.score(asked(photos), [])
    assert by_id.fingerprint == by_path.fingerprint
    with pytest.raises(MetricError, match=r"somebody/tiny-clip at v2 in .*hf download somebody/tiny-clip"):
        folder_of("clip", "somebody/tiny-clip", "v2")


def test_an_id_that_was_never_fetched_gets_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MetricError) as caught:
        make(["identity@dinov2"], {"dinov2": {"path": "facebook/dinov2-base"}})
    assert str(caught.value) == (
        "encoder 'dinov2': no weights (looked in: folder facebook/dinov2-base, "
        f"facebook/dinov2-base at main in {tmp_path}); run `hf download facebook/dinov2-base` once with "
        "network, or set `path` in [encoders.dinov2] to a folder; sface could stand in"
    )


def test_no_path_at_all_gets_one_line_with_an_example() -> None:
    with pytest.raises(MetricError, match=r"looked in: no path given.* an id such as openai/clip-"):
        make(["prompt-match@clip"])


def copied(folder: Path, into: Path) -> dict[str, torch.Tensor]:
    for file in folder.iterdir():
        (into / file.name).write_bytes(file.read_bytes())
    return load_file(into / "model.safetensors")


def test_a_folder_with_missing_weights_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    tensors = copied(clip_folder, tmp_path)
    del tensors["visual_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(MetricError, match="1 weights are missing"):
        make(["prompt-match@clip"], {"clip": {"path": str(tmp_path)}})
    with pytest.raises(MetricError, match=r"no config\.json"):
        make(["prompt-match@clip"], {"clip": {"path": str(tmp_path.parent)}})


def test_weights_that_are_not_finite_give_the_reason_and_no_number(
    clip_folder: Path, photos: list[Image.Image], tmp_path: Path
) -> None:
    tensors = copied(clip_folder, tmp_path)
    tensors["visual_projection.weight"][0, 0] = torch.nan
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    (match,), _ = make(["prompt-match@clip"], {"clip": {"path": str(tmp_path)}})
    for score in match.score(asked(photos), []):
        assert score.value is None
        assert score.reason == "the network's numbers are not finite"


def test_a_folders_name_and_readme_are_not_in_the_fingerprint_but_its_weights_are(
    dinov2_folder: Path, tmp_path: Path
) -> None:
    tensors = copied(dinov2_folder, tmp_path)
    (tmp_path / "README.md").write_text("Words.")
    (one,), _ = make(["identity@dinov2"], {"dinov2": {"path": str(dinov2_folder)}})
    (other,), _ = make(["identity@dinov2"], {"dinov2": {"path": str(tmp_path)}})
    assert one.fingerprint == other.fingerprint
    (tmp_path / "changed").mkdir()
    copied(dinov2_folder, tmp_path / "changed")
    name = next(name for name in tensors if name.endswith("norm1.bias"))
    save_file(
        {**tensors, name: tensors[name] + 1}, tmp_path / "changed" / "model.safetensors", {"format": "pt"}
    )
    (changed,), _ = make(["identity@dinov2"], {"dinov2": {"path": str(tmp_path / "changed")}})
    assert changed.fingerprint != one.fingerprint
