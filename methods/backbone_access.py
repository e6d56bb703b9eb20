"""Backbones and devices for the harness, which must not import torch before it needs them.

Every function imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from methods.backbone.spec import BackboneSpec, TextLimit
from methods.errors import MethodError

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone
    from methods.backbone.locate import CheckpointLocation


def open_backbone(spec: BackboneSpec) -> Backbone:
    """Load the backbone that all methods of a run share."""
    from methods.backbone.backbone import Backbone

    return Backbone.open(spec)


def locate_backbone(spec: BackboneSpec, *, fetch: bool = False) -> CheckpointLocation:
    """Return the files that `open_backbone` would load, checked for completeness; loads nothing.

    `fetch` allows downloads from the hub. Raises MethodError where the backbone is missing or incomplete.
    """
    from methods.backbone.locate import locate_checkpoint

    return locate_checkpoint(spec, fetch=fetch)


def backbone_parts(spec: BackboneSpec) -> dict[str, tuple[Path, ...] | MethodError]:
    """Return the files of each part of the backbone, or why a part cannot be used; loads nothing.

    Of a network these are the weights. Raises MethodError where the whole backbone is missing.
    """
    from methods.backbone.locate import locate_checkpoint

    location = locate_checkpoint(spec, fetch=False, check=False)
    if location.single is not None:
        return {"weights": location.weights}
    parts: dict[str, tuple[Path, ...] | MethodError] = {}
    for part in location.parts:
        try:
            parts[part] = location.part_files(part)
        except MethodError as error:
            parts[part] = error
    return parts


def excess_tokens(folder: Path, limits: Sequence[TextLimit], texts: Sequence[str]) -> list[dict[str, int]]:
    """Return how many tokens of each text each text encoder in `folder` cuts off; 0 if the text fits."""
    from methods.compute.token_counts import excess_tokens

    return excess_tokens(folder, limits, texts)


def device_of(spec: BackboneSpec) -> Literal["cpu", "cuda"]:
    """Return the kind of device that `open_backbone` would use. Raises MethodError for a missing GPU."""
    from methods.compute.device import resolve_device

    return "cuda" if resolve_device(spec.device).type == "cuda" else "cpu"


def gpu_name() -> str:
    """Return the name of the first CUDA device."""
    from methods.compute.device import device_name

    return device_name()


def gpu_count() -> int:
    """Return the number of CUDA devices that torch finds."""
    from methods.compute.device import device_count

    return device_count()
