"""Single files of SD 3 and FLUX.1: the transformer of a file with the other parts of a folder."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

import pytest
import torch
from diffusers.loaders import single_file_model, single_file_utils
from safetensors.torch import load_file, save_file
from single_transformer_files import write_transformer_file
from tiny_transformers import FLOW_FAMILIES, FlowFolders, spec_of

from methods.backbone import locate
from methods.backbone.backbone import Backbone
from methods.backbone.locate import locate_checkpoint
from methods.errors import MethodError

PROMPTS = ["a photo of a man, smiling"]


@pytest.fixture(autouse=True)
def narrow_flux(monkeypatch: pytest.MonkeyPatch, flow_folders: FlowFolders) -> None:
    """diffusers' conversion of FLUX.1 has the published width, 3072, as a constant; here it is 64."""
    convert = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers
    source = inspect.getsource(convert)
    assert source.count("inner_dim = 3072") == 1
    place = {"torch": torch}
    exec(source.replace("inner_dim = 3072", "inner_dim = 64"), place)
    classes = single_file_model.SINGLE_FILE_LOADABLE_CLASSES
    narrow = {**classes["FluxTransformer2DModel"], "checkpoint_mapping_fn": place[convert.__name__]}
    monkeypatch.setitem(classes, "FluxTransformer2DModel", narrow)


@pytest.fixture(params=FLOW_FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def file(family: str, flow_folders: FlowFolders, tmp_path: Path) -> Path:
    path = tmp_path / "published.safetensors"
    write_transformer_file(flow_folders[family], path, family)
    return path


@pytest.fixture
def others(family: str, flow_folders: FlowFolders, tmp_path: Path) -> Path:
    """The folder without the transformer's weights."""
    folder = tmp_path / "others"
    shutil.copytree(flow_folders[family], folder)
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    return folder


def test_same_weights_and_images_as_the_folder(
    family: str, file: Path, others: Path, flow_folders: FlowFolders
) -> None:
    folder = flow_folders.backbone(family)
    one = Backbone.open(spec_of(file, config=str(others)))
    own, expected = one.network.state_dict(), folder.network.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], expected[name]) for name in expected)
    assert one.generate(PROMPTS, [1])[0].tobytes() == folder.generate(PROMPTS, [1])[0].tobytes()
    assert {file, others / "vae" / "diffusion_pytorch_model.safetensors"} <= set(one.files())
    assert one.digest != folder.digest
    with one.clean():
        for weight in one.network.parameters():
            weight.data.zero_()
        one.restore()
    assert torch.equal(one.network.state_dict()["proj_out.weight"], expected["proj_out.weight"])


def test_other_parts_are_fetched_with_their_weights(
    file: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def snapshot(path: str, revision: str | None, patterns: list[str], fetch: bool) -> Path:
        fetched.extend(patterns)
        return others

    monkeypatch.setattr(locate, "snapshot", snapshot)
    location = locate_checkpoint(spec_of(file, config=f"owner/name@{'a' * 40}"), fetch=True)
    assert location.folder == others
    assert {"vae/diffusion_pytorch_model.safetensors", "text_encoder_2/model.safetensors"} <= set(fetched)
    assert [pattern for pattern in fetched if pattern.startswith("transformer/") and "safet" in pattern] == []


def assert_refused(file: Path, others: Path, reason: str, **settings: object) -> None:
    with pytest.raises(MethodError, match=reason) as caught:
        Backbone.open(spec_of(file, config=str(others), **settings))
    assert "\n" not in str(caught.value)


def test_file_with_unread_or_missing_tensors_is_refused(file: Path, others: Path) -> None:
    state = load_file(file)
    name = next(name for name in state if "mlp" in name and name.endswith("weight"))
    save_file({**state, f"{name}_scale": torch.ones(3)}, file)
    assert_refused(file, others, "the transformer has .* weights, but that of config has")
    save_file({**state, name: state[name].to(torch.float8_e4m3fn)}, file)
    assert_refused(file, others, "is of type F8_E4M3; expected weights of 16 or 32 bits")
    save_file({key: value for key, value in state.items() if key != name}, file)
    assert_refused(file, others, "cannot be loaded .*is config .* of the same model")


def test_file_needs_the_other_parts_of_its_family(
    family: str, file: Path, others: Path, flow_folders: FlowFolders
) -> None:
    with pytest.raises(MethodError, match=f"a single file of {family} contains no configs"):
        Backbone.open(spec_of(file))
    other = next(name for name in FLOW_FAMILIES if name != family)
    assert_refused(file, flow_folders[other], f"the file is of {family}, but config .* is of {other}")
    assert_refused(file, others, "quantization is for a folder", quantization="torchao-int8")
    (others / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(MethodError, match=r"vae: no diffusion_pytorch_model\.safetensors"):
        locate_checkpoint(spec_of(file, config=str(others)), fetch=False)
