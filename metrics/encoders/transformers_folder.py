"""CLIP and DINOv2 from any folder in transformers' layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.torchvision_ops import ensure_torchvision_imports
from metrics.encoders.memo import Memo
from metrics.encoders.weights import first_existing, sha256, versions
from metrics.interface import Features, MetricError

ensure_torchvision_imports()

from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel  # noqa: E402

STAND_INS: Final = {"clip": "attributes", "dinov2": "sface"}


class Clip:
    """Pictures and sentences in one space (Radford et al. 2021): whatever CLIP lies in the folder `path`."""

    name = "clip"

    def __init__(self, path: str | Path | None = None, device: str = "cpu") -> None:
        self._folder = _folder(self.name, path)
        self._device = torch.device(device)
        self._network = _opened(CLIPModel, self._folder).to(self._device)
        self._processor = AutoImageProcessor.from_pretrained(
            self._folder, local_files_only=True, use_fast=False
        )
        self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        self._memo = Memo(self._look)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"network": f"{self._folder.name} {sha256(self._folder)[:12]}", **_software()}

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x D unit vectors of pictures."""
        return np.array(self._memo(images))

    def read(self, texts: Sequence[str]) -> Features:
        """N x D unit vectors of sentences; what exceeds the network's length is cut off."""
        vectors = [self._text(text) for text in texts]
        return np.array(vectors)

    def _look(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        pixels = self._processor([i.convert("RGB") for i in images], return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            seen = self._network.vision_model(pixels.to(self._device)).pooler_output
            return list(_unit(self._network.visual_projection(seen)))

    def _text(self, text: str) -> NDArray[np.float64]:
        longest = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(text, truncation=True, max_length=longest, return_tensors="pt").to(
            self._device
        )
        with torch.no_grad():
            read = self._network.text_model(tokens["input_ids"], tokens["attention_mask"]).pooler_output
            rows = _unit(self._network.text_projection(read))
        row: NDArray[np.float64] = rows[0]
        return row


class DinoV2:
    """Whole pictures as the class token of DINOv2 (Oquab et al. 2024): whatever lies in the folder `path`."""

    name = "dinov2"

    def __init__(self, path: str | Path | None = None, device: str = "cpu") -> None:
        self._folder = _folder(self.name, path)
        self._device = torch.device(device)
        self._network = _opened(AutoModel, self._folder).to(self._device)
        self._processor = AutoImageProcessor.from_pretrained(
            self._folder, local_files_only=True, use_fast=False
        )
        self._memo = Memo(self._look)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"network": f"{self._folder.name} {sha256(self._folder)[:12]}", **_software()}

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """N x D unit vectors of pictures."""
        return np.array(self._memo(images))

    def _look(self, images: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
        pixels = self._processor([i.convert("RGB") for i in images], return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            return list(_unit(self._network(pixels.to(self._device)).last_hidden_state[:, 0]))


def _folder(name: str, path: str | Path | None) -> Path:
    places = [Path(path).expanduser()] if path else []
    cure = f"set `path` in [encoders.{name}] to a folder with config.json and model.safetensors"
    folder = first_existing(name, places, cure=cure, stand_in=STAND_INS[name])
    if not (folder / "config.json").is_file():
        raise MetricError(f"{folder}: no config.json; {cure}")
    return folder


def _opened(kind: Any, folder: Path) -> Any:
    try:
        model, found = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise MetricError(f"{folder}: {str(error).splitlines()[0]}") from error
    # transformers fills missing weights with random numbers, and says so in a log only.
    if found["missing_keys"] or found["mismatched_keys"]:
        raise MetricError(
            f"{folder}: {len(found['missing_keys'])} weights are missing; is it another network's folder?"
        )
    return model.eval().requires_grad_(False)


def _software() -> dict[str, str]:
    return {
        "dtype": "float32",
        "resize": "the folder's image processor",
        **versions("transformers", "torch", "pillow"),
    }


def _unit(vectors: torch.Tensor) -> NDArray[np.float64]:
    rows = vectors.double().cpu().numpy()
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
