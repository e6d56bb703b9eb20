"""CLIP and DINOv2 from a folder in transformers' layout, or by hub id from the local cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel

from metrics.encoders.runtime.image_cache import ImageCache
from metrics.encoders.runtime.inference import inference_mode, outputs_by_row, unit
from metrics.encoders.runtime.weight_files import first_existing, missing, sha256, versions
from metrics.interface import Features, MetricError

STAND_INS: Final = {"clip": "attributes", "dinov2": "sface"}
EXAMPLES: Final = {"clip": "openai/clip-vit-large-patch14", "dinov2": "facebook/dinov2-base"}


class Clip:
    """Images and sentences in one space (Radford et al. 2021): any CLIP model, by `path`."""

    name = "clip"

    def __init__(
        self, path: str | Path | None = None, revision: str | None = None, device: str = "cpu"
    ) -> None:
        self._folder = folder_of(self.name, path, revision)
        self._device = torch.device(device)
        self._network = _load(CLIPModel, self._folder).to(self._device)
        self._processor = _processor(self._folder)
        self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        self.width = int(self._network.config.projection_dim)
        self._cache = ImageCache(self._encode_batch)
        self._texts: dict[str, NDArray[np.float64]] = {}

    @property
    def fingerprint(self) -> Mapping[str, str]:
        vision = self._network.config.vision_config
        return _fingerprint(self.name, self._folder, vision, self._device)

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x D unit vectors of images."""
        return np.array(self._cache(images), np.float64).reshape(-1, self.width)

    def encode_texts(self, texts: Sequence[str]) -> Features:
        """N x D unit vectors of sentences; longer sentences are truncated to the network's length."""
        for text in texts:
            if text not in self._texts:
                self._texts[text] = self._encode_text(text)
        return np.array([self._texts[text] for text in texts], np.float64).reshape(-1, self.width)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        pixels = self._processor([i.convert("RGB") for i in images], return_tensors="pt")["pixel_values"]
        return list(unit([row for (row,) in outputs_by_row(self._project, pixels, self._device)]))

    def _project(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [self._network.visual_projection(self._network.vision_model(pixels).pooler_output)]

    def _encode_text(self, text: str) -> NDArray[np.float64]:
        limit = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        tokens = tokens.to(self._device)
        with inference_mode():
            pooled = self._network.text_model(tokens["input_ids"], tokens["attention_mask"]).pooler_output
            row: NDArray[np.float64] = unit(self._network.text_projection(pooled).cpu().numpy())[0]
        return row


class DinoV2:
    """The class token of the whole image (Oquab et al. 2024): any DINOv2 model, by `path`."""

    name = "dinov2"

    def __init__(
        self, path: str | Path | None = None, revision: str | None = None, device: str = "cpu"
    ) -> None:
        self._folder = folder_of(self.name, path, revision)
        self._device = torch.device(device)
        self._network = _load(AutoModel, self._folder).to(self._device)
        self._processor = _processor(self._folder)
        self.width = int(self._network.config.hidden_size)
        self._cache = ImageCache(self._encode_batch)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return _fingerprint(self.name, self._folder, self._network.config, self._device)

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x D unit vectors of images."""
        return np.array(self._cache(images), np.float64).reshape(-1, self.width)

    def _encode_batch(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        pixels = self._processor([i.convert("RGB") for i in images], return_tensors="pt")["pixel_values"]
        return list(unit([row for (row,) in outputs_by_row(self._class_token, pixels, self._device)]))

    def _class_token(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [self._network(pixels).last_hidden_state[:, 0]]


def folder_of(encoder: str, path: str | Path | None, revision: str | None) -> Path:
    """The folder at `path`, or the cached snapshot of a hub id; nothing is downloaded.

    Raises MetricError if neither exists, or the folder has no config.json.
    """
    alternative = STAND_INS[encoder]
    cure = f"set `path` in [encoders.{encoder}] to a folder with config.json and model.safetensors"
    either = f"{cure}, or to an id such as {EXAMPLES[encoder]}"
    if path is None:
        raise missing(encoder, [], cure=either, alternative=alternative)
    folder = Path(path).expanduser()
    if not folder.exists() and _is_hub_id(str(path)):
        return _cached(encoder, str(path), revision)
    folder = first_existing(encoder, [folder], cure=either, alternative=alternative)
    if not (folder / "config.json").is_file():
        raise MetricError(f"{folder}: no config.json; {cure}")
    return folder


def _is_hub_id(path: str) -> bool:
    return path.count("/") == 1 and not path.startswith((".", "/", "~"))


def _cached(encoder: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(found, str):
        return Path(found).parent
    places = [f"folder {name}", f"{name} at {revision or 'main'} in {constants.HF_HUB_CACHE}"]
    cure = f"run `hf download {name}` once with network, or set `path` in [encoders.{encoder}] to a folder"
    raise missing(encoder, places, cure=cure, alternative=STAND_INS[encoder])


def _load(kind: Any, folder: Path) -> Any:
    try:
        model, found = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise MetricError(f"{folder}: {str(error).splitlines()[0]}") from error
    # transformers fills missing weights with random numbers and only logs it.
    if found["missing_keys"] or found["mismatched_keys"]:
        raise MetricError(
            f"{folder}: {len(found['missing_keys'])} weights are missing; is it another network's folder?"
        )
    return model.eval().requires_grad_(False)


def _processor(folder: Path) -> Any:
    # PIL's antialiased resize; torchvision's differs slightly, so the backend is fixed.
    return AutoImageProcessor.from_pretrained(folder, local_files_only=True, use_fast=False)


def _fingerprint(name: str, folder: Path, vision: Any, device: torch.device) -> dict[str, str]:
    shape = f"ViT {vision.num_hidden_layers}x{vision.hidden_size}/{vision.patch_size}"
    return {
        "network": f"{name} ({shape}) {sha256(folder)[:12]}",
        "device": device.type,
        "dtype": "float32",
        "resize": "the folder's image processor, with PIL",
        **versions("transformers", "torch", "pillow"),
    }
