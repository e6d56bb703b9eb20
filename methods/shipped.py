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
    """The weights that a setting names: a shipped backbone, for the method's file that fits it, or a path."""
    if setting in SHIPPED_BACKBONES:
        return WEIGHTS / f"{adapter_name(method, setting)}.safetensors"
    return Path(setting).expanduser()
