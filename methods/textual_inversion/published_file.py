"""Published textual-inversion files of any layout, read without unpickling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.compute.loading import check_finite, read_tensors, read_torch_file
from methods.errors import MethodError
from methods.textual_inversion.embeddings import check_text_encoders

SAFETENSORS: Final = (".safetensors", ".pti")
"""Suffixes of safetensors files; cog-sdxl calls them `embeddings.pti`."""
PICKLED: Final = (".pt", ".bin")
CLIP: Final = ("clip_l", "clip_g")
"""Names of the text encoders' embeddings in one file."""
ENCODERS: Final[Mapping[str, int]] = {"clip_l": 0, "text_encoders_0": 0, "clip_g": 1, "text_encoders_1": 1}
"""Text encoder of each tensor in the layouts of SDXL; the names with numbers are cog-sdxl's."""


def read_published(files: Sequence[Path], backbone: Backbone) -> list[Tensor]:
    """Return the embeddings for each text encoder of the backbone, (V, D), float32.

    One file with the embeddings of all text encoders, or one file for each. Raises MethodError for an
    unreadable file, an unknown layout, or embeddings for other text encoders.
    """
    check_text_encoders(backbone)
    found = [rows for file in files for rows in embeddings_in(file)]
    place = files[0]
    encoders = backbone.text_encoders
    if len(found) != len(encoders):
        raise MethodError(
            f"{place}: embeddings for {len(found)} text encoders, this backbone has {len(encoders)}; "
            "use a file for this family"
        )
    widths = [rows.shape[1] for rows in found]
    expected = [encoder.network.config.hidden_size for encoder in encoders]
    if widths != expected:
        raise MethodError(
            f"{place}: embeddings of width {_listed(widths)}, this backbone's have {_listed(expected)}; "
            "use a file for this family"
        )
    if len({len(rows) for rows in found}) != 1:
        raise MethodError(
            f"{place}: {_listed([len(rows) for rows in found])} vectors for the text encoders; "
            "expected equal numbers"
        )
    return found


def embeddings_in(file: Path) -> list[Tensor]:
    """Return the embeddings in a file, (V, D), float32, in the order of the text encoders.

    Layouts: one tensor of any name (diffusers, or `emb_params`), A1111's `string_to_param`, and `clip_l` with
    `clip_g` for SDXL.
    """
    if file.suffix in SAFETENSORS:
        stored: Any = read_tensors(file)[0]
    else:
        # The first implementation stored a module of torch, which contains nothing but parameters.
        stored = read_torch_file(file, classes=(nn.ParameterDict,))
    if isinstance(stored, dict) and "string_to_param" in stored:
        stored = stored["string_to_param"]
        stored = getattr(stored, "_parameters", stored)
    if not isinstance(stored, Mapping) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise MethodError(f"{file}: no textual inversion; expected tensors by name, or 'string_to_param'")
    tensors: dict[str, Tensor] = {str(name): value for name, value in stored.items()}
    check_finite(file, tensors)
    return [_rows(file, name, tensors[name]) for name in _in_order(file, tensors)]


def save_published(embeddings: Sequence[Tensor], file: Path) -> None:
    """Write the embeddings of all text encoders, (V, D) each, as `clip_l` and, for SDXL, `clip_g`."""
    named = zip(CLIP[: len(embeddings)], embeddings, strict=True)
    tensors = {name: rows.detach().float().cpu().contiguous() for name, rows in named}
    save_file(tensors, file, metadata={"format": "pt"})


def _in_order(file: Path, tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors in the order of the text encoders."""
    if len(tensors) == 1 and not tensors.keys() & ENCODERS.keys():
        return list(tensors)
    unknown = sorted(tensors.keys() - ENCODERS.keys())
    numbers = sorted(ENCODERS[name] for name in tensors if name in ENCODERS)
    if unknown or not numbers or numbers != list(range(len(numbers))):
        example = f", such as {(unknown or sorted(tensors))[0]}" if tensors else ""
        raise MethodError(
            f"{file}: {len(tensors)} tensors{example}; expected one embedding, or clip_l and clip_g"
        )
    return sorted(tensors, key=ENCODERS.__getitem__)


def _rows(file: Path, name: str, tensor: Tensor) -> Tensor:
    """(V, D); diffusers stores a single vector as (D,)."""
    rows = tensor[None] if tensor.dim() == 1 else tensor
    if rows.dim() != 2 or not rows.numel() or not rows.is_floating_point():
        raise MethodError(
            f"{file}: {name} has shape {tuple(tensor.shape)} of {tensor.dtype}; expected vectors of numbers"
        )
    return rows.detach().float().contiguous()


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers))
