"""Locating a backbone: folder, hub cache, single file, and the errors for missing parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from single_files import write_single_file
from tiny_pipelines import SmallFolders, write_small_folder
from tiny_transformers import TRANSFORMERS, FlowFolders

from methods.backbone.backbone import Backbone
from methods.backbone.locate import locate_checkpoint
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "owner/small-diffusion"


def located_files(path: object, **settings: object) -> list[str]:
    location = locate_checkpoint(BackboneSpec(path=str(path), **settings), fetch=False)  # type: ignore[arg-type]
    return [file.relative_to(location.folder).as_posix() for file in location.files()]


def assert_refused(path: object, message: str, **settings: object) -> None:
    with pytest.raises(MethodError, match=message) as caught:
        locate_checkpoint(BackboneSpec(path=str(path), **settings), fetch=True)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_files_include_only_loaded_files(tiny_pipelines: SmallFolders, tmp_path: Path) -> None:
    before = located_files(tiny_pipelines["sdxl"])
    assert {"text_encoder_2/model.safetensors", "tokenizer_2/merges.txt", "unet/config.json"} <= set(before)
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path / "more")
    for name in ("unet/diffusion_pytorch_model.fp16.safetensors", "unet/model.onnx", "vae_1_0/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    assert located_files(folder) == before


def test_variant_weights_need_the_variant_setting(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    write_small_folder("sd1", folder, dtype=torch.float16, variant="fp16")
    assert_refused(folder, "set variant, such as variant = 'fp16'")
    assert_refused(folder, "no diffusion_pytorch_model.bf16.safetensors, but", variant="bf16")
    backbone = Backbone.open(BackboneSpec(path=str(folder), variant="fp16", device="cpu"))
    names = [path.name for path in backbone.files() if path.suffix == ".safetensors"]
    assert sorted(names) == ["diffusion_pytorch_model.fp16.safetensors"] * 2 + ["model.fp16.safetensors"]
    assert backbone.network.dtype == torch.float32


def test_sharded_weights_are_loaded_and_a_missing_shard_is_refused(
    tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
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
    assert all(torch.equal(p, state[name]) for name, p in backbone.network.named_parameters())
    assert {f"unet/{name}" for name in names.values()} <= set(located_files(folder))
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    assert_refused(folder, "00002-of-00002.safetensors is missing")


def only_pickles(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )


def empty_tokenizer(folder: Path) -> None:
    for path in (folder / "tokenizer").iterdir():
        path.unlink()


def no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer_2")


def other_pipeline(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "SanaPipeline"}')


def no_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (only_pickles, "safetensors weights"),
        (no_tokenizer, "tokenizer_2: no such folder"),
        (empty_tokenizer, "tokenizer: the folder is empty"),
        (other_pipeline, "a SanaPipeline; expected one of StableDiffusionPipeline"),
        (no_index, "model_index.json: cannot be read"),
    ],
)
def test_damaged_folder_is_refused(
    damage: Callable[[Path], None], message: str, tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path / "broken")
    damage(folder)
    assert_refused(folder, message)


@pytest.fixture
def cache(tiny_pipelines: SmallFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """huggingface_hub's cache with one model; the network is disabled."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return cached(tiny_pipelines["sd2"], tmp_path / "hub")


def cached(folder: Path, hub: Path, name: str = ID) -> Path:
    """Copy a folder to where huggingface_hub keeps a model; returns its place there."""
    snapshot = hub / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    return snapshot


def test_hub_id_with_commit_is_read_from_the_cache_without_network(cache: Path) -> None:
    assert locate_checkpoint(BackboneSpec(path=ID, revision=COMMIT), fetch=True).folder == cache
    assert locate_checkpoint(BackboneSpec(path=ID, revision=COMMIT), fetch=False).place == cache


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("family", TRANSFORMERS)
def test_transformer_with_hub_id_and_commit_is_read_from_the_cache(
    family: str, flow_folders: FlowFolders, tmp_path: Path
) -> None:
    name = f"owner/small-{family}"
    snapshot = cached(flow_folders[family], tmp_path / "hub", name)
    own = flow_folders.backbone(family)
    backbone = Backbone.open(replace(own.spec, path=name, revision=COMMIT))
    assert backbone.folder == snapshot
    assert backbone.digest == own.digest
    images = (one.generate(["a photo of a dog"], [1])[0].tobytes() for one in (backbone, own))
    assert len(set(images)) == 1
    assert_refused(name, "40 digits of a commit", revision="main")


@pytest.mark.parametrize("family", ["sd2", *TRANSFORMERS])
def test_download_patterns_cover_every_file_of_a_backbone(
    family: str, tiny_pipelines: SmallFolders, flow_folders: FlowFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download with them loads the same model: chat templates are files without `.json`."""
    folder = tiny_pipelines[family] if family == "sd2" else flow_folders[family]
    asked: list[list[str]] = []

    def download(path: str, *, allow_patterns: list[str], **options: object) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    location = locate_checkpoint(BackboneSpec(path=ID, revision=COMMIT), fetch=True)
    every = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert {file.relative_to(folder).as_posix() for file in location.files()} == set(every)
    assert [name for name in every if not any(fnmatch(name, pattern) for pattern in asked[0])] == []


@pytest.mark.usefixtures("cache")
def test_uncached_model_is_refused_with_the_download_command() -> None:
    other = COMMIT[::-1]
    assert_refused("owner/other", f"hf download owner/other --revision {other}", revision=other)
    assert_refused(ID, "hf download", revision=other)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("revision", [None, "main", "0123abc"])
def test_hub_id_needs_a_commit(revision: str | None) -> None:
    assert_refused(ID, "40 digits of a commit", revision=revision)


def test_part_missing_in_the_cache_is_refused(cache: Path) -> None:
    shutil.rmtree(cache / "vae")
    assert_refused(ID, "vae: no such folder; get the backbone again", revision=COMMIT)


@pytest.fixture(scope="module")
def single(tiny_pipelines: SmallFolders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("single") / "large.safetensors"
    write_single_file(tiny_pipelines["sdxl"], file)
    return file


def test_single_file_needs_configs_from_a_folder_or_the_hub(
    single: Path, tiny_pipelines: SmallFolders, cache: Path
) -> None:
    assert_refused(single, "of sdxl contains no configs and no tokenizer; set config to")
    assert_refused(single, "the file is of sdxl, but config .* is of sd2", config=f"{ID}@{COMMIT}")
    assert_refused(single, "needs the 40 digits", config=ID)
    assert_refused(single, "no model_index.json there", config=str(cache / "unet"))
    location = locate_checkpoint(
        BackboneSpec(path=str(single), config=str(tiny_pipelines["sdxl"])), fetch=False
    )
    assert location.place == single
    assert location.weights == (single,)


def test_incomplete_checkpoint_is_refused(single: Path, tiny_pipelines: SmallFolders, tmp_path: Path) -> None:
    config = str(tiny_pipelines["sdxl"])
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(single.read_bytes()[:500])
    assert_refused(cut, "not a complete safetensors file", config=config)
    assert_refused(tmp_path / "none.safetensors", "no such file", config=config)
    assert_refused(tmp_path / "old.ckpt", "only .safetensors", config=config)
    assert_refused(
        tiny_pipelines["sdxl"] / "unet" / "diffusion_pytorch_model.safetensors",
        "neither a checkpoint of SD 1",
    )
    assert_refused(single, "no variants", config=config, variant="fp16")
    assert_refused(tiny_pipelines["sdxl"], "config is only for a single", config=config)


def test_single_file_without_some_weights_is_refused(
    single: Path, tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    state = load_file(single)
    del state["conditioner.embedders.1.model.ln_final.weight"]
    file = tmp_path / "less.safetensors"
    save_file(state, file)
    with pytest.raises(MethodError, match="1 weights of text_encoder_2 are missing") as caught:
        Backbone.open(BackboneSpec(path=str(file), config=str(tiny_pipelines["sdxl"]), device="cpu"))
    assert "\n" not in str(caught.value)
