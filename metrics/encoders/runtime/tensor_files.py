"""Read weight files into tensors by name, without unpickling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from metrics.interface import MetricError


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file, or of one by `torch.save`; raises MetricError for any other file."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored = torch.load(path, weights_only=True, map_location="cpu")
    # The readers fail in many ways on a damaged file.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MetricError(f"{path}: not a file of tensors ({reason})") from error
    if not isinstance(stored, Mapping) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise MetricError(f"{path}: expected tensors by name, found a {type(stored).__name__}")
    return stored
