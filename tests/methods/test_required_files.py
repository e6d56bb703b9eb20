"""The declared required files of every method, compared with the files it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from methods.backbone.spec import BackboneSpec
from methods.backbone_access import locate_backbone
from methods.catalog import make, self_contained
from methods.errors import MethodError
from methods.interface import required_files
from methods.ip_adapter.checkpoint import read_adapter
from methods.leave_one_out.network import read_config


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


@pytest.mark.parametrize(
    ("name", "setting", "file"),
    [
        ("loo-attention", "network", "loo-attention-flow.safetensors"),
        ("ip-adapter", "adapter", "ip-adapter-flow.safetensors"),
    ],
)
def test_missing_weights_of_a_shipped_backbone_are_refused_by_name(
    name: str, setting: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.shipped.WEIGHTS", tmp_path)
    (path, _) = make(name, {setting: "embedded-flow"}).required_files.values()
    assert path == tmp_path / file
    read = read_config if setting == "network" else read_adapter
    with pytest.raises(MethodError, match=f"{file}: no such weights; train them with 'bench train") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_missing_shipped_backbone_names_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.backbone.locate.WEIGHTS", tmp_path)
    for path, command in (("embedded", "backbone'"), ("embedded-flow", "backbone --family flow'")):
        expected = f"{path}: the backbone {path} is missing; make it with 'bench train {command}"
        with pytest.raises(MethodError, match=expected):
            locate_backbone(BackboneSpec(path=path))
