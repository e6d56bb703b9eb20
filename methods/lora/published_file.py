"""Published LoRA files of any layout, copied so that diffusers loads every layer at the file's strength."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from methods.compute.loading import check_finite, read_tensors, read_torch_file
from methods.errors import MethodError

ALPHA: Final = ".alpha"
PAIRS: Final = ((".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight"))
"""Ends of the names of a layer's two matrices: the first has the rank as its first dimension."""

NAMED: Final = ("unet.", "double_blocks.", "single_blocks.", "transformer.")
"""Beginnings of the names of processors that need no prefix; the second and third are FLUX.1's."""

UNSUPPORTED: Final[Mapping[str, Callable[[str], bool]]] = {
    "a LoHa (LyCORIS)": lambda name: ".hada_" in name,
    "a LoKr (LyCORIS)": lambda name: ".lokr_" in name,
    "a Tucker decomposition (LyCORIS)": lambda name: name.endswith((".lora_mid.weight", ".hada_t1")),
    "full weight differences (LyCORIS)": lambda name: name.endswith((".diff", ".diff_b")),
    "trained norms (LyCORIS)": lambda name: name.endswith((".w_norm", ".b_norm")),
    "an IA3 (LyCORIS)": lambda name: name.endswith(".on_input"),
    "an OFT": lambda name: ".oft_" in name,
    "a DoRA in kohya's layout, whose magnitudes diffusers ignores": lambda name: "dora_scale" in name,
    "a textual inversion bundled with a LoRA": lambda name: name.startswith("bundle_emb."),
}
"""Kinds of files that diffusers cannot load, by a tensor's name."""


def copy_published(file: Path, to: Path) -> None:
    """Copy a LoRA file to a `.safetensors` file, without unpickling, with full strength in every layer.

    `alpha / rank` of a layer is multiplied into its matrix: diffusers applies the most frequent alpha of a
    file to most layers. The oldest layout, the U-Net's processors only, gets its missing prefix. Raises
    MethodError for an unreadable file or an unsupported kind.
    """
    state = _read(file)
    _check_kind(state, file)
    bare = all(".processor." in name and not name.startswith(NAMED) for name in state)
    if file.suffix == ".safetensors" and not bare and not any(name.endswith(ALPHA) for name in state):
        # The header of a file by diffusers may contain its alphas.
        shutil.copyfile(file, to)
        return
    prefix = "unet." if bare else ""
    tensors = _without_alphas(state, file)
    save_file({f"{prefix}{name}": value.clone().contiguous() for name, value in tensors.items()}, to)


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return read_tensors(file)[0]
    state = read_torch_file(file)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise MethodError(f"{file}: no LoRA; expected tensors by name")
    check_finite(file, state)
    return state


def _check_kind(state: Mapping[str, Tensor], file: Path) -> None:
    if not state:
        raise MethodError(f"{file}: the file has no tensors")
    for kind, has_kind in UNSUPPORTED.items():
        if count := sum(map(has_kind, state)):
            raise MethodError(f"{file}: {kind}, {count} of {len(state)} tensors; convert it to a plain LoRA")
    if any(name.startswith("base_model.model.") for name in state):
        raise MethodError(
            f"{file}: PEFT's own layout (base_model.model.), which does not name the network it belongs to; "
            "save it with diffusers' save_lora_weights"
        )


def _without_alphas(state: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Multiply every layer's `alpha / rank` into its second matrix; a layer without alpha has alpha = rank.

    Files with another factor than 1 become float32, so that the product is not rounded.
    """
    factors = {
        name.removesuffix(ALPHA): _factor(name.removesuffix(ALPHA), value, state, file)
        for name, value in state.items()
        if name.endswith(ALPHA)
    }
    tensors = {name: value for name, value in state.items() if not name.endswith(ALPHA)}
    if all(factor == 1 for factor in factors.values()):
        return tensors
    tensors = {name: value.float() for name, value in tensors.items()}
    for layer, factor in factors.items():
        for _, up in PAIRS:
            if layer + up in tensors:
                tensors[layer + up] = tensors[layer + up] * factor
    return tensors


def _factor(layer: str, alpha: Tensor, state: Mapping[str, Tensor], file: Path) -> float:
    for down, up in PAIRS:
        if layer + down in state and layer + up in state:
            value = alpha.float()
            if value.numel() != 1 or not torch.isfinite(value).all():
                raise MethodError(f"{file}: {layer}{ALPHA} is no finite number")
            return float(value) / len(state[layer + down])
    raise MethodError(f"{file}: {layer} has an alpha and no pair of LoRA matrices")
