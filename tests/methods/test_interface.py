"""Defaults of the method contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from methods.catalog import METHODS, make, self_contained
from methods.interface import MethodBase
from methods.subject import Subject


@dataclass(frozen=True)
class Minimal(MethodBase):
    name: ClassVar[str] = "minimal"
    weights = (Path("folder/own.safetensors"),)


def test_defaults_declare_nothing_but_the_weights() -> None:
    method = Minimal()
    assert method.conditioning_encoders == method.trained_on == frozenset()
    assert method.required_files == {"own.safetensors": Path("folder/own.safetensors")}
    assert (method.role, method.generates_class_images) == ("method", True)


def test_default_subject_needs_a_reference_photo() -> None:
    assert Minimal().unsupported_reason(Subject("ada", "woman", ())) == (
        "ada: no reference photos; minimal needs at least 1"
    )


@pytest.mark.parametrize("name", self_contained())
def test_text_only_is_the_floor_and_photo_copy_the_ceiling(name: str) -> None:
    assert make(name).role == {"text-only": "floor", "photo-copy": "ceiling"}.get(name, "method")
    assert name in METHODS
