"""The catalogue: names, presets, suggestions, and class attributes read without torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from methods.catalog import METHODS, generates_class_images, make, self_contained
from methods.errors import MethodError
from methods.finetuning import loop
from methods.interface import MethodBase


def test_unknown_setting_is_refused_with_a_suggestion() -> None:
    with pytest.raises(MethodError, match="did you mean 'steps'"):
        make("dreambooth-lora", {"stepps": 3})


def test_preset_values_can_be_overridden() -> None:
    faces = make("dreambooth-lora", {"preset": "faces", "steps": 7})
    assert (faces.steps, faces.batch, faces.prior_weight, faces.text_encoder) == (7, 2, 1.0, True)  # type: ignore[attr-defined]
    assert make("dreambooth-lora", {"preset": "diffusers-readme"}) == make("dreambooth-lora")


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.presets])
def test_every_preset_builds_a_method_and_has_a_source(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The package of an optimizer need not be installed.
    monkeypatch.setattr(loop, "PACKAGES", {})
    for preset, recipe in METHODS[name].presets.items():
        # Packages of other optimisers are not installed for the tests.
        plain = {"optimizer": "adamw"}
        assert make(name, {"preset": preset, **plain}) == make(name, {**recipe.settings, **plain})
        assert len(recipe.source) > 20


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(MethodError, match="did you mean 'faces'"):
        make("dreambooth-lora", {"preset": "face"})
    with pytest.raises(MethodError, match="no presets"):
        make("text-only", {"preset": "faces"})


def test_methods_with_required_input_are_not_in_all() -> None:
    assert not {"lora-folder", "image-folder", "textual-inversion-folder"} & set(self_contained())
    assert {"dreambooth-lora", "textual-inversion"} <= set(self_contained())
    assert "ti-lora" not in self_contained()


def test_only_methods_with_given_images_generate_no_class_images() -> None:
    assert [name for name in METHODS if not generates_class_images(name)] == [
        "photo-copy",
        "image-folder",
    ]


@pytest.mark.parametrize("name", METHODS)
def test_class_attribute_read_from_the_source_is_that_of_the_class(name: str) -> None:
    module, _, cls = METHODS[name].target.partition(":")
    expected = getattr(importlib.import_module(module), cls).generates_class_images
    assert generates_class_images(name) == expected


def test_class_attribute_of_a_custom_method_is_read_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_methods").mkdir()
    (tmp_path / "own_methods" / "copies.py").write_text(
        "import no_such_module\n\nclass Copies:\n    generates_class_images: bool = False\n"
        "\nclass Other:\n    pass\n"
    )
    assert not generates_class_images("own_methods.copies:Copies")
    assert generates_class_images("own_methods.copies:Other")
    assert generates_class_images("own_methods.absent:Copies")
    assert generates_class_images("no-such-method")


@dataclass(frozen=True)
class OldObjection(MethodBase):
    name: ClassVar[str] = "old"

    def objection(self) -> None: ...


@dataclass(frozen=True)
class OldSees:
    name: ClassVar[str] = "old"
    sees = frozenset[str]()


@dataclass(frozen=True)
class OldNeeds(MethodBase):
    name: ClassVar[str] = "old"

    @property
    def needs(self) -> dict[str, Path]:
        return {}


@dataclass(frozen=True)
class NeedsAsSetting(MethodBase):
    name: ClassVar[str] = "own"
    needs: int = 1


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (OldObjection, "`objection` is now called `unsupported_reason`"),
        (OldSees, "`sees` is now called `conditioning_encoders`"),
        (OldNeeds, "`needs` is now called `required_files`"),
    ],
)
def test_member_by_its_old_name_is_refused(
    cls: type, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = module_with(cls, tmp_path, monkeypatch)
    with pytest.raises(MethodError, match=message):
        make(module)


def test_setting_may_have_the_old_name_of_a_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(module_with(NeedsAsSetting, tmp_path, monkeypatch), {"needs": 2})
    assert method.required_files == {}


def module_with(cls: type, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable module with the class; returns its `module:Class`."""
    (folder / f"module_{cls.__name__}.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(importlib.import_module(f"module_{cls.__name__}"), "Own", cls, raising=False)
    return f"module_{cls.__name__}:Own"
