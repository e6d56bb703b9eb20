"""Where a backbone is looked for, what is read of it, and what is said where something is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from single_files import write_single_file
from tiny_pipelines import SmallFolders, write_small_folder

from methods.backbone.backbone import Backbone
from methods.backbone.locate import source_of
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "somebody/small-diffusion"


def found(path: object, **settings: object) -> list[str]:
    source = source_of(BackboneSpec(path=str(path), **settings), fetch=False)  # type: ignore[arg-type]
    return [file.relative_to(source.folder).as_posix() for file in source.files()]


def refused(path: object, told: str, **settings: object) -> None:
    with pytest.raises(MethodError, match=told) as caught:
        source_of(BackboneSpec(path=str(path), **settings), fetch=True)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_only_what_is_read_counts_as_the_backbone_s_files(
    tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    before = found(tiny_pipelines["sdxl"])
    assert {"text_encoder_2/model.safetensors", "tokenizer_2/merges.txt", "unet/config.json"} <= set(before)
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path / "more")
    for name in ("unet/diffusion_pytorch_model.fp16.safetensors", "unet/model.onnx", "vae_1_0/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    assert found(folder) == before


def test_weights_of_a_variant_are_asked_for_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    write_small_folder("sd1", folder, dtype=torch.float16, variant="fp16")
    refused(folder, "set variant, such as variant = 'fp16'")
    refused(folder, "no diffusion_pytorch_model.bf16.safetensors, but", variant="bf16")
    backbone = Backbone.open(BackboneSpec(path=str(folder), variant="fp16", device="cpu"))
    names = [path.name for path in backbone.files() if path.suffix == ".safetensors"]
    assert sorted(names) == ["diffusion_pytorch_model.fp16.safetensors"] * 2 + ["model.fp16.safetensors"]
    assert backbone.unet.dtype == torch.float32


def test_weights_in_several_files_are_read_and_missed(tiny_pipelines: SmallFolders, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_pipelines["sd1"], tmp_path / "shards")
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(whole)
    whole.unlink()
    names = {
        name: f"diffusion_pytorch_model-0000{1 + index % 2}-of-00002.safetensors"
        for index, name in enumerate(sorted(state))
    }
    for file in set(names.values()):
        save_file({k: v for k, v in state.items() if names[k] == file}, folder / "unet" / file)
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    backbone = Backbone.open(BackboneSpec(path=str(folder), device="cpu"))
    assert all(torch.equal(p, state[name]) for name, p in backbone.unet.named_parameters())
    assert {f"unet/{name}" for name in names.values()} <= set(found(folder))
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    refused(folder, "00002-of-00002.safetensors is missing")


def only_pickles(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )


def no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer_2")


def other_pipeline(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')


def no_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (only_pickles, "safetensors weights"),
        (no_tokenizer, "tokenizer_2: no such folder"),
        (other_pipeline, "a FluxPipeline; wanted is one of StableDiffusionPipeline"),
        (no_index, "model_index.json: cannot be read"),
    ],
)
def test_a_part_that_is_missing_is_told(
    damage: Callable[[Path], None], told: str, tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path / "broken")
    damage(folder)
    refused(folder, told)


@pytest.fixture
def cache(tiny_pipelines: SmallFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """huggingface_hub's cache with one model in it, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / f"models--{ID.replace('/', '--')}" / "snapshots" / COMMIT
    shutil.copytree(tiny_pipelines["sd2"], snapshot)
    return snapshot


def test_a_hub_id_with_its_commit_is_read_from_the_cache_without_network(cache: Path) -> None:
    assert source_of(BackboneSpec(path=ID, revision=COMMIT), fetch=True).folder == cache
    assert source_of(BackboneSpec(path=ID, revision=COMMIT), fetch=False).place == cache


@pytest.mark.usefixtures("cache")
def test_a_model_that_is_not_in_the_cache_is_one_line_with_what_to_do() -> None:
    other = COMMIT[::-1]
    refused("somebody/other", f"hf download somebody/other --revision {other}", revision=other)
    refused(ID, "hf download", revision=other)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("revision", [None, "main", "0123abc"])
def test_a_hub_id_needs_a_commit(revision: str | None) -> None:
    refused(ID, "40 digits of a commit", revision=revision)


def test_a_part_missing_from_the_cache_is_told(cache: Path) -> None:
    shutil.rmtree(cache / "vae")
    refused(ID, "vae: no such folder; get the backbone again", revision=COMMIT)


@pytest.fixture(scope="module")
def single(tiny_pipelines: SmallFolders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("single") / "large.safetensors"
    write_single_file(tiny_pipelines["sdxl"], file)
    return file


def test_a_single_file_needs_configs_from_a_folder_or_the_hub(
    single: Path, tiny_pipelines: SmallFolders, cache: Path
) -> None:
    refused(single, "of sdxl holds no configs and no tokenizer; set config to")
    refused(single, "the file is of sdxl, but config .* is of sd2", config=f"{ID}@{COMMIT}")
    refused(single, "needs the 40 digits", config=ID)
    refused(single, "no model_index.json there", config=str(cache / "unet"))
    source = source_of(BackboneSpec(path=str(single), config=str(tiny_pipelines["sdxl"])), fetch=False)
    assert source.place == single
    assert source.weights == (single,)


def test_what_is_no_whole_checkpoint_is_told(
    single: Path, tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    config = str(tiny_pipelines["sdxl"])
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(single.read_bytes()[:500])
    refused(cut, "no whole safetensors file", config=config)
    refused(tmp_path / "none.safetensors", "no such file", config=config)
    refused(tmp_path / "old.ckpt", "only .safetensors", config=config)
    refused(tiny_pipelines["sdxl"] / "unet" / "diffusion_pytorch_model.safetensors", "neither an SD 1")
    refused(single, "no variants", config=config, variant="fp16")
    refused(tiny_pipelines["sdxl"], "config goes with a single", config=config)


def test_a_single_file_without_some_weights_is_told(
    single: Path, tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    state = load_file(single)
    del state["conditioner.embedders.1.model.ln_final.weight"]
    file = tmp_path / "less.safetensors"
    save_file(state, file)
    with pytest.raises(MethodError, match="1 weights of text_encoder_2 are missing") as caught:
        Backbone.open(BackboneSpec(path=str(file), config=str(tiny_pipelines["sdxl"]), device="cpu"))
    assert "\n" not in str(caught.value)
