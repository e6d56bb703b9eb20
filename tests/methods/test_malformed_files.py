"""Files that are cut, of another kind or not finite are refused in one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from methods.backbone.backbone import Backbone
from methods.catalog import make
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import read_adapter
from methods.leave_one_out.network import load_network
from methods.subject import Subject

Change = Callable[[dict[str, Any]], object]


def published(file: str) -> dict[str, Any]:
    parts: dict[str, Any] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in load_file(file).items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    return parts


def rename_keys(parts: dict[str, Any]) -> None:
    parts["ip_adapter"] = {name.removesuffix(".weight"): v for name, v in parts["ip_adapter"].items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts.update(image_proj=torch.zeros(3)),
        lambda parts: parts.update(image_proj=[torch.zeros(3)]),
        lambda parts: parts.update(ip_adapter=None),
        lambda parts: parts["ip_adapter"].update({"1.to_k_ip.weight": torch.zeros(4)}),
        lambda parts: parts["ip_adapter"].update({"1.to_v_ip.weight": torch.tensor([[float("nan")]])}),
        rename_keys,
        lambda parts: parts.update(optimizer={"step": 3}),
        lambda parts: parts["ip_adapter"].update(scale=0.5),
    ],
    ids=["tensor", "list", "nothing", "one dimension", "nan", "other names", "other part", "number"],
)
def test_malformed_adapter_is_refused(
    settings: dict[str, dict[str, Any]], tmp_path: Path, change: Change
) -> None:
    parts = published(settings["ip-adapter"]["adapter"])
    change(parts)
    torch.save(parts, tmp_path / "adapter.bin")
    with pytest.raises(MethodError, match=r"adapter\.bin: ") as caught:
        read_adapter(tmp_path / "adapter.bin")
    assert "\n" not in str(caught.value)


def test_tensors_of_a_file_without_a_place_are_counted(
    settings: dict[str, dict[str, Any]], backbone: Backbone, tmp_path: Path
) -> None:
    state = load_file(settings["ip-adapter"]["adapter"])
    save_file(state | {"lora.a": torch.ones(1), "lora.b": torch.ones(1)}, tmp_path / "ip.safetensors")
    with pytest.raises(MethodError, match=rf"2 of {len(state) + 2} entries .* as lora\.a"):
        read_adapter(tmp_path / "ip.safetensors")
    file = Path(settings["loo-mean"]["network"])
    state = load_file(file)
    with safe_open(file, "pt") as stored:
        metadata = stored.metadata()
    renamed = {name.replace("photo.", "picture."): value for name, value in state.items()}
    count = sum(name.startswith("picture.") for name in renamed)
    save_file(renamed, tmp_path / "loo.safetensors", metadata=metadata)
    with pytest.raises(MethodError, match=rf"{2 * count} of {len(state) + count} tensors are missing"):
        load_network(tmp_path / "loo.safetensors", backbone.attention)


FITS = {
    "textual-inversion": "learned_embeds.safetensors",
    "ip-adapter": "image_embeds.safetensors",
    "loo-mean": "photos.safetensors",
}


@pytest.mark.parametrize("damage", ["cut", "other", "nan"])
@pytest.mark.parametrize("name", FITS)
def test_malformed_fit_is_refused(
    name: str,
    damage: str,
    settings: dict[str, dict[str, Any]],
    subject: Subject,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    method = make(name, settings[name])
    method.fit(subject, tmp_path, backbone=backbone, seed=0)
    file = tmp_path / FITS[name]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-8])
    elif damage == "other":
        save_file({"weight": torch.zeros(2, 5)}, file)
    else:
        state = load_file(file)
        save_file({key: torch.full_like(value, float("nan")) for key, value in state.items()}, file)
    with pytest.raises(MethodError, match=file.name) as caught:
        method.load(tmp_path, backbone=backbone)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), "wide", 0, -3])
def test_malformed_network_is_refused(
    value: Any, settings: dict[str, dict[str, Any]], backbone: Backbone, tmp_path: Path
) -> None:
    file = tmp_path / "network.safetensors"
    state = load_file(settings["loo-mean"]["network"])
    config = {"aggregator": "mean", "patch_width": 16, "caption_width": 32, "width": 32, "tokens": 3}
    if isinstance(value, float):
        config["hidden"] = 64
        state = {name: torch.full_like(tensor, value) for name, tensor in state.items()}
    else:
        config["hidden"] = value
    save_file(state, file, metadata={"config": json.dumps(config)})
    with pytest.raises(MethodError, match=r"network\.safetensors: ") as caught:
        load_network(file, backbone.attention)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"image_mean": [1, 2]}', '{"image_std": [0, 0, 0]}'])
def test_malformed_preprocessing_is_refused(text: str, clip_folder: Path, tmp_path: Path) -> None:
    for path in clip_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(MethodError, match=r"preprocessor_config\.json: "):
        open_encoder(tmp_path, torch.device("cpu"))


def test_a_lora_that_is_not_finite_is_refused(
    settings: dict[str, dict[str, Any]], subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    (source,) = (Path(settings["lora-folder"]["path"]) / subject.id).glob("*.safetensors")
    state = load_file(source)
    state[next(iter(state))].fill_(float("inf"))
    save_file(state, tmp_path / f"{subject.id}.safetensors")
    (tmp_path / "fit").mkdir()
    with pytest.raises(MethodError, match=r"ada\.safetensors: .* is not finite"):
        make("lora-folder", {"path": str(tmp_path)}).fit(subject, tmp_path / "fit", backbone=backbone, seed=0)
