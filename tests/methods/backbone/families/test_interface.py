"""Methods reach a diffusion model by the members of `Backbone` alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from methods.backbone.backbone import Backbone
from methods.backbone.families.interface import Denoiser
from methods.errors import MethodError

METHODS = Path(__file__).parents[4] / "methods"
HIDDEN = {"pipe", "unet", "transformer", "denoiser"}
"""Attributes that only the package `backbone` uses."""


def hidden_attributes(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} & HIDDEN


def test_no_module_outside_the_backbone_reaches_a_pipeline() -> None:
    # The built-in model is made from its parts, before it is a backbone. An example has its own networks.
    outside = [path for path in METHODS.rglob("*.py") if path.parts[len(METHODS.parts)] not in OWN_FOLDERS]
    assert len(outside) > 40
    assert {path.name: found for path in outside if (found := hidden_attributes(path))} == {}


OWN_FOLDERS = {"backbone", "tiny_sd", "examples"}


def test_no_module_outside_the_families_compares_families() -> None:
    compared = []
    for path in METHODS.rglob("*.py"):
        if path.parent.name == "families":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            values = {side.value for side in sides if isinstance(side, ast.Constant)}
            if values & {"sd1", "sd2", "sdxl", "sd3", "flux", "flux2"}:
                compared.append(f"{path.name}:{node.lineno}")
    assert compared == []


def test_missing_attention_is_one_line_that_names_the_families_with_it(backbone: Backbone) -> None:
    with pytest.raises(MethodError, match=r"no layers for this adapter.* sd1, sd2 or sdxl"):
        Denoiser.attention.fget(backbone.denoiser)  # type: ignore[attr-defined]
    with pytest.raises(MethodError, match=r"no layers for image tokens.* sd1, sd2, sdxl, sd3 or flux"):
        Denoiser.adapter_attention.fget(backbone.denoiser)  # type: ignore[attr-defined]
