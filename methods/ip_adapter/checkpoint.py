"""Published IP-Adapter checkpoints: read without unpickling, told apart by their tensors, and checked."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.loading import first_line
from methods.errors import MethodError

Layout = Literal["base", "plus", "full-face", "faceid", "faceid-plus"]

PARTS = ("image_proj", "ip_adapter")

MARKS: tuple[tuple[Layout, str], ...] = (
    ("base", "proj.weight"),
    ("full-face", "proj.3.weight"),
    ("faceid-plus", "perceiver_resampler.proj_in.weight"),
    ("faceid", "norm.weight"),
    ("plus", "latents"),
)
"""The tensor of `image_proj` that a layout has and those below it do not, as diffusers' loader looks for it.

Plus-Face shares Plus's layout, FaceID-Portrait shares FaceID's, FaceID-PlusV2 shares FaceID-Plus's.
"""

READS: Mapping[Layout, tuple[str | None, str | None]] = {
    "base": ("proj.weight", None),
    "plus": ("proj_in.weight", None),
    "full-face": ("proj.0.weight", None),
    "faceid": (None, "proj.0.weight"),
    "faceid-plus": ("perceiver_resampler.proj_in.weight", "proj.0.weight"),
}
"""The matrices that read what CLIP says and what the face network says."""

LORA = tuple(
    f"{layer}_lora.{side}.weight" for layer in ("to_q", "to_k", "to_v", "to_out") for side in ("down", "up")
)
FILE_FAULTS = (SafetensorError, OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError)


@dataclass(frozen=True)
class PublishedAdapter:
    """One adapter, by its published names."""

    path: Path
    layout: Layout
    image_proj: Mapping[str, Tensor]
    """The projection of what was seen to tokens."""
    ip_adapter: Mapping[str, Tensor]
    """Keys and values by the place of their layer among the U-Net's attention layers; and FaceID's LoRA."""
    metadata: Mapping[str, str]

    @property
    def picture_width(self) -> int | None:
        """How many numbers a CLIP token or embedding has; None where the layout reads no picture."""
        name = READS[self.layout][0]
        return self.image_proj[name].shape[1] if name else None

    @property
    def face_width(self) -> int | None:
        """How many numbers a face embedding has; None where the layout reads none."""
        name = READS[self.layout][1]
        return self.image_proj[name].shape[1] if name else None

    @property
    def width(self) -> int:
        """Of the cross-attention it was made for."""
        key = next(value for name, value in self.ip_adapter.items() if name.endswith("to_k_ip.weight"))
        return key.shape[1]

    @property
    def lora(self) -> bool:
        """Whether it brings a LoRA for the U-Net."""
        return any("_lora." in name for name in self.ip_adapter)

    def check(self, backbone: Backbone, *, other: bool) -> None:
        """Raise MethodError where it was made for another U-Net; `other` allows another's weights."""
        if self.width != backbone.cross_attention_dim:
            raise MethodError(
                f"{self.path}: made for cross-attention {self.width} wide, "
                f"this backbone's is {backbone.cross_attention_dim}"
            )
        self._check_layers(list(backbone.pipe.unet.attn_processors))
        named = self.metadata.get("backbone", backbone.digest)
        if named != backbone.digest and not other:
            raise MethodError(
                f"{self.path}: trained with backbone {named[:12]}, this one is {backbone.digest[:12]}; "
                "train it again, or set other_backbone = true"
            )

    def _check_layers(self, processors: list[str]) -> None:
        """diffusers would leave out in silence what has no place."""
        cross = sum(not name.endswith("attn1.processor") for name in processors)
        wanted = {f"{2 * i + 1}.to_{kind}_ip.weight" for i in range(cross) for kind in "kv"}
        if self.lora:
            wanted |= {f"{i}.{name}" for i in range(len(processors)) for name in LORA}
        if strange := sorted(wanted ^ set(self.ip_adapter)):
            own = sum(name.endswith("to_k_ip.weight") for name in self.ip_adapter)
            raise MethodError(
                f"{self.path}: made for {own} cross-attention layers, this backbone has {cross} "
                f"({len(strange)} names differ, such as {strange[0]}); give the file for this family"
            )


def read_adapter(path: Path) -> PublishedAdapter:
    """A published checkpoint, `.safetensors` or `.bin`; raises MethodError where it is none."""
    if not path.is_file():
        raise MethodError(f"{path}: no such weights; make them with 'bench train ip-adapter', or name a file")
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> PublishedAdapter:
    safe = path.suffix == ".safetensors"
    try:
        parts, metadata = _read_safetensors(path) if safe else (_read_bin(path), {})
    except FILE_FAULTS as error:
        kind = "a safetensors file" if safe else "a checkpoint that can be read without unpickling"
        raise MethodError(f"{path}: not {kind} ({first_line(error)})") from error
    if not all(parts[part] for part in PARTS) or not any("to_k_ip" in name for name in parts["ip_adapter"]):
        raise MethodError(
            f"{path}: no 'image_proj' and 'ip_adapter' weights; wanted IP-Adapter's published layout"
        )
    layout = next((name for name, mark in MARKS if mark in parts["image_proj"]), None)
    if layout is None or any(name not in parts["image_proj"] for name in READS[layout] if name):
        known = ", ".join(name for name, _ in MARKS)
        raise MethodError(f"{path}: none of IP-Adapter's published layouts; known are {known}")
    return PublishedAdapter(path, layout, parts["image_proj"], parts["ip_adapter"], metadata)


Parts = dict[str, dict[str, Tensor]]


def _read_safetensors(path: Path) -> tuple[Parts, Mapping[str, str]]:
    parts: Parts = {part: {} for part in PARTS}
    with safe_open(path, "pt") as stored:
        for name in stored.keys():  # noqa: SIM118  # no mapping
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = stored.get_tensor(name)
        return parts, stored.metadata() or {}


def _read_bin(path: Path) -> Parts:
    stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    parts: Parts = {part: {} for part in PARTS}
    for part in PARTS:
        state = stored.get(part, {}) if isinstance(stored, dict) else {}
        parts[part] = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    return parts
