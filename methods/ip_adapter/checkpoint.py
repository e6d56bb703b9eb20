"""Reads published IP-Adapter checkpoints without unpickling; identifies their layout by its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.loading import check_finite, read_tensors, read_torch_file
from methods.errors import MethodError

Layout = Literal["base", "plus", "full-face", "faceid", "faceid-plus", "time-resampler", "double-blocks"]

PARTS = ("image_proj", "ip_adapter")

LAYOUT_TENSORS: tuple[tuple[Layout, str], ...] = (
    ("base", "proj.weight"),
    ("full-face", "proj.3.weight"),
    ("faceid-plus", "perceiver_resampler.proj_in.weight"),
    ("faceid", "norm.weight"),
    ("time-resampler", "time_embedding.linear_1.weight"),
    ("plus", "latents"),
)
"""A tensor of `image_proj` that identifies each layout, in the order in which diffusers' loader checks them.

Plus-Face has Plus's layout, FaceID-Portrait has FaceID's, FaceID-PlusV2 has FaceID-Plus's. The time-resampler
is InstantX's for Stable Diffusion 3.5. XLabs' layout for FLUX.1, `double-blocks`, has base's projection and
keys with a bias.
"""

XLABS_NAMES = {
    "ip_adapter_proj_model.": "image_proj.",
    "double_blocks.": "ip_adapter.",
    "processor.ip_adapter_double_stream_k_proj": "to_k_ip",
    "processor.ip_adapter_double_stream_v_proj": "to_v_ip",
}
"""Parts of the names in XLabs' files, by those that diffusers reads."""

INPUT_WEIGHTS: Mapping[Layout, tuple[str | None, str | None]] = {
    "base": ("proj.weight", None),
    "plus": ("proj_in.weight", None),
    "full-face": ("proj.0.weight", None),
    "faceid": (None, "proj.0.weight"),
    "faceid-plus": ("perceiver_resampler.proj_in.weight", "proj.0.weight"),
    "time-resampler": ("proj_in.weight", None),
    "double-blocks": ("proj.weight", None),
}
"""The first weight matrices for CLIP's features and for the face embedding; None if the layout has none."""

LORA_WEIGHTS = tuple(
    f"{layer}_lora.{side}.weight" for layer in ("to_q", "to_k", "to_v", "to_out") for side in ("down", "up")
)
JOINT_WEIGHTS = (
    *("norm_ip.linear.weight", "norm_ip.linear.bias", "to_k_ip.weight", "to_v_ip.weight"),
    *("norm_q.weight", "norm_k.weight", "norm_ip_k.weight"),
)
"""Weights of every layer in the layout `time-resampler`."""
KEYS = ".to_k_ip.weight"
"""End of the names of the image keys in `ip_adapter`."""


@dataclass(frozen=True)
class PublishedAdapter:
    """The tensors of one adapter under their published names."""

    path: Path
    layout: Layout
    image_proj: Mapping[str, Tensor]
    """The projection of image features to tokens."""
    ip_adapter: Mapping[str, Tensor]
    """Keys and values, numbered by attention layer of the U-Net; FaceID's LoRA in addition."""
    metadata: Mapping[str, str]

    @property
    def clip_width(self) -> int | None:
        """Width of a CLIP token or embedding; None if the layout does not read CLIP."""
        name = INPUT_WEIGHTS[self.layout][0]
        return self.image_proj[name].shape[1] if name else None

    @property
    def face_width(self) -> int | None:
        """Width of a face embedding; None if the layout does not read one."""
        name = INPUT_WEIGHTS[self.layout][1]
        return self.image_proj[name].shape[1] if name else None

    @property
    def cross_attention_dim(self) -> int:
        """Width of the text tokens that the keys and values expect."""
        key = next(value for name, value in self.ip_adapter.items() if name.endswith(KEYS))
        return key.shape[1]

    @property
    def shown(self) -> str:
        """Part of a photograph shown in training: `whole`, or `centre` for files of `bench train`."""
        if "training" not in self.metadata:
            return "whole"
        try:
            return str(json.loads(self.metadata["training"]).get("shown", "centre"))
        except (ValueError, AttributeError) as error:
            raise MethodError(f"{self.path}: metadata 'training' cannot be read; train it again") from error

    @property
    def has_lora(self) -> bool:
        """Whether the file contains a LoRA for the U-Net."""
        return any("_lora." in name for name in self.ip_adapter)

    def check(self, backbone: Backbone, *, allow_other: bool) -> None:
        """Raise MethodError if the adapter does not fit this U-Net, or was trained with another backbone.

        `allow_other` accepts an adapter of another backbone if its shapes fit.
        """
        attention = backbone.adapter_attention
        if self.layout not in attention.layouts:
            raise MethodError(
                f"{self.path}: its layout is {self.layout}, and a backbone of the family {backbone.family} "
                f"reads {', '.join(sorted(attention.layouts))}; use the file for this family"
            )
        if self.cross_attention_dim != attention.width:
            raise MethodError(
                f"{self.path}: made for cross-attention {self.cross_attention_dim} wide, "
                f"this backbone's is {attention.width}"
            )
        self._check_layers(attention.processor_names)
        trained_with = self.metadata.get("backbone", backbone.digest)
        if trained_with != backbone.digest and not allow_other:
            raise MethodError(
                f"{self.path}: trained with backbone {trained_with[:12]}, "
                f"this one is {backbone.digest[:12]}; train it again, or set other_backbone = true"
            )

    def _check_layers(self, processors: list[str]) -> None:
        """Check the tensor names: diffusers silently ignores tensors that match no layer."""
        cross = sum(not name.endswith("attn1.processor") for name in processors)
        expected = {f"{2 * i + 1}.to_{kind}_ip.weight" for i in range(cross) for kind in "kv"}
        if self.layout == "time-resampler":
            expected = {f"{i}.{name}" for i in range(len(processors)) for name in JOINT_WEIGHTS}
        if self.layout == "double-blocks":
            names = [f"to_{kind}_ip.{end}" for kind in "kv" for end in ("weight", "bias")]
            expected = {f"{i}.{name}" for i in range(len(processors)) for name in names}
        if self.has_lora:
            expected |= {f"{i}.{name}" for i in range(len(processors)) for name in LORA_WEIGHTS}
        if mismatched := sorted(expected ^ set(self.ip_adapter)):
            layers = sum(name.endswith("to_k_ip.weight") for name in self.ip_adapter)
            raise MethodError(
                f"{self.path}: made for {layers} cross-attention layers, this backbone has {cross} "
                f"({len(mismatched)} names differ, such as {mismatched[0]}); use the file for this family"
            )


def read_adapter(path: Path) -> PublishedAdapter:
    """Read a published checkpoint, `.safetensors` or `.bin`; raises MethodError for anything else."""
    if not path.is_file():
        raise MethodError(
            f"{path}: no such weights; train them with 'bench train ip-adapter', or give the path of a file"
        )
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, mtime: int, size: int) -> PublishedAdapter:
    """Cached by path, modification time and size."""
    parts, metadata = _read_safetensors(path) if path.suffix == ".safetensors" else (_read_bin(path), {})
    if not all(parts[part] for part in PARTS) or not any(name.endswith(KEYS) for name in parts["ip_adapter"]):
        raise MethodError(
            f"{path}: no 'image_proj' and 'ip_adapter' weights; expected IP-Adapter's published layout"
        )
    layout = next((name for name, tensor in LAYOUT_TENSORS if tensor in parts["image_proj"]), None)
    if layout is None or any(name not in parts["image_proj"] for name in INPUT_WEIGHTS[layout] if name):
        known = ", ".join(INPUT_WEIGHTS)
        raise MethodError(f"{path}: none of IP-Adapter's published layouts; known: {known}")
    if layout == "base" and "0.to_k_ip.bias" in parts["ip_adapter"]:
        layout = "double-blocks"
    matrices = {name: parts["image_proj"][name] for name in INPUT_WEIGHTS[layout] if name}
    matrices |= {
        name: value
        for name, value in parts["ip_adapter"].items()
        if name.endswith(".weight") and ".norm_" not in name
    }
    for name, value in matrices.items():
        if value.dim() != 2:
            raise MethodError(f"{path}: {name} has shape {tuple(value.shape)}; expected a matrix")
    return PublishedAdapter(path, layout, parts["image_proj"], parts["ip_adapter"], metadata)


Parts = dict[str, dict[str, Tensor]]


def _read_safetensors(path: Path) -> tuple[Parts, Mapping[str, str]]:
    parts: Parts = {part: {} for part in PARTS}
    stored, metadata = read_tensors(path)
    tensors = {_published_name(name): value for name, value in stored.items()}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = value
    _check_placed(path, [name for name in tensors if name.partition(".")[0] not in parts], len(tensors))
    return parts, metadata


def _published_name(name: str) -> str:
    for theirs, ours in XLABS_NAMES.items():
        name = name.replace(theirs, ours)
    return name


def xlabs_name(name: str) -> str:
    """The name in XLabs' files of a tensor by the name that diffusers reads."""
    for theirs, ours in XLABS_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _read_bin(path: Path) -> Parts:
    stored = read_torch_file(path)
    parts: Parts = {part: {} for part in PARTS}
    entries = stored if isinstance(stored, dict) else {}
    others = [str(part) for part in entries if part not in parts]
    for part in PARTS:
        state = entries.get(part)
        if isinstance(state, dict):
            parts[part] = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
            others += [f"{part}.{name}" for name, value in state.items() if not isinstance(value, Tensor)]
            check_finite(path, parts[part])
    _check_placed(path, others, len(others) + sum(map(len, parts.values())))
    return parts


def _check_placed(path: Path, others: list[str], count: int) -> None:
    """Raise MethodError for entries that are no weights of an IP-Adapter, if it has weights at all."""
    if others and len(others) < count:
        raise MethodError(
            f"{path}: {len(others)} of {count} entries are no weights of 'image_proj' and 'ip_adapter', such "
            f"as {others[0]}; expected IP-Adapter's published layout"
        )
