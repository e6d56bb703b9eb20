"""The weight files of a network in diffusers' layout, and JSON files that cannot be read."""

import json
from pathlib import Path

import pytest

from methods.compute.checkpoint_files import json_object, weight_files
from methods.errors import MethodError

STEM = "model"


def write_shards(folder: Path, *missing: int, infix: str = "") -> list[Path]:
    """An index of two shards, without the shards of these numbers; returns all files by name."""
    shards = [folder / f"{STEM}{infix}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for number, shard in enumerate(shards, start=1):
        if number not in missing:
            shard.touch()
    index = folder / f"{STEM}.safetensors.index{infix}.json"
    index.write_text(json.dumps({"weight_map": {"a": shards[1].name, "b": shards[0].name}}))
    return [index, *shards]


def test_one_file_comes_before_shards_and_a_variant_has_its_own(tmp_path: Path) -> None:
    index = write_shards(tmp_path)
    assert weight_files(tmp_path, STEM, None) == tuple(index)
    whole = tmp_path / f"{STEM}.safetensors"
    whole.touch()
    assert weight_files(tmp_path, STEM, None) == (whole,)
    variant = write_shards(tmp_path, infix=".fp16")
    assert weight_files(tmp_path, STEM, "fp16") == tuple(variant)


def test_missing_weights_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"no model\.safetensors, but no weights; expected safetensors"):
        weight_files(tmp_path, STEM, None)
    (tmp_path / "model.fp16.safetensors").touch()
    with pytest.raises(MethodError, match=r"only model\.fp16\.safetensors; set variant"):
        weight_files(tmp_path, STEM, None)
    write_shards(tmp_path, 2)
    with pytest.raises(MethodError, match=r"model-00002-of-00002\.safetensors is missing; get the backbone"):
        weight_files(tmp_path, STEM, None)


@pytest.mark.parametrize(("text", "reason"), [("[1]", "not a JSON object"), ("{", "cannot be read")])
def test_damaged_json_is_refused_in_one_line(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(MethodError, match=f"config.json: {reason}") as caught:
        json_object(file)
    assert "\n" not in str(caught.value)
