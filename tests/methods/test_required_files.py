"""The declared required files of every method, compared with the files it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from methods.backbone.spec import BackboneSpec
from methods.catalog import locate_backbone, make, self_contained
from methods.errors import MethodError
from methods.interface import required_files


@pytest.mark.parametrize("name", self_contained())
def test_every_weight_file_is_in_required_files(name: str) -> None:
    method = make(name)
    assert all(path.exists() for path in method.required_files.values())
    for file in method.weights:
        assert any(file == path or path in file.parents for path in method.required_files.values()), file


def test_required_files_of_a_class_without_the_member_are_its_weights(tmp_path: Path) -> None:
    class Own:
        weights = (tmp_path / "own.safetensors",)

    assert required_files(Own()) == {"own.safetensors": tmp_path / "own.safetensors"}  # type: ignore[arg-type]  # only this member is read


def test_face_models_are_required_only_where_they_are_used(tmp_path: Path) -> None:
    own = {"adapter": "a", "encoder": "e"}
    with_faces = make("ip-adapter", {"shown": "face", "faces": str(tmp_path), **own})
    assert set(with_faces.required_files.values()) == {tmp_path, Path("a"), Path("e")}
    assert set(make("ip-adapter", own).required_files.values()) == {Path("a"), Path("e")}


def test_shipped_backbone_is_found_and_an_incomplete_one_is_refused(tmp_path: Path) -> None:
    assert (locate_backbone(BackboneSpec()).folder / "model_index.json").is_file()
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(MethodError, match=str(tmp_path)):
        locate_backbone(BackboneSpec(path=str(tmp_path)))
