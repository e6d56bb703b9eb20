"""What a method says it reads, for `bench doctor`, against what it does read."""

from pathlib import Path

import pytest

from methods.backbone.spec import BackboneSpec
from methods.catalog import locate_backbone, make, self_contained
from methods.errors import MethodError
from methods.interface import needs


@pytest.mark.parametrize("name", self_contained())
def test_every_weight_file_lies_in_what_the_method_says_it_needs(name: str) -> None:
    method = make(name)
    said = needs(method)
    assert all(path.exists() for path in said.values())
    for file in method.weights:
        assert any(file == path or path in file.parents for path in said.values()), file


def test_a_method_that_says_nothing_needs_its_weights(tmp_path: Path) -> None:
    class Own:
        needs = 3
        weights = (tmp_path / "own.safetensors",)

    assert needs(Own()) == {"own.safetensors": tmp_path / "own.safetensors"}  # type: ignore[arg-type]  # so much of a method is enough


def test_what_is_asked_of_a_face_finder_is_asked_only_where_it_is_used(tmp_path: Path) -> None:
    shown = make("ip-adapter", {"shown": "face", "faces": str(tmp_path), "adapter": "a", "encoder": "e"})
    assert set(needs(shown).values()) == {tmp_path, Path("a"), Path("e")}
    assert set(needs(make("ip-adapter", {"adapter": "a", "encoder": "e"})).values()) == {Path("a"), Path("e")}


def test_the_embedded_backbone_is_found_and_a_part_of_one_is_not_enough(tmp_path: Path) -> None:
    assert (locate_backbone(BackboneSpec()) / "model_index.json").is_file()
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(MethodError, match=str(tmp_path)):
        locate_backbone(BackboneSpec(path=str(tmp_path)))
