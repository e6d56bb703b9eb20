"""Paths of the weights that ship with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from methods.backbone.spec import EMBEDDED, SHIPPED_BACKBONES

WEIGHTS: Final = Path(__file__).parent / "weights"


def adapter_name(method: str, backbone: str) -> str:
    """Name of the weights for a shipped backbone: `loo-mean`, or `loo-mean-flow` for `embedded-flow`."""
    return method + backbone.removeprefix(EMBEDDED)


def adapter_path(method: str, setting: str) -> Path:
    """The weights that a setting names.

    A shipped backbone stands for the method's file that fits it; other values are the name of a file that
    ships, or a path.
    """
    name = adapter_name(method, setting) if setting in SHIPPED_BACKBONES else setting
    shipped = WEIGHTS / f"{name}.safetensors"
    if setting in SHIPPED_BACKBONES or shipped.is_file():
        return shipped
    return Path(setting).expanduser()
