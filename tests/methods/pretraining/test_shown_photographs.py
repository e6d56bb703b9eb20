"""Photographs are shown to the adapters as in their training, and SDXL reads their original size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_pipelines import SIDE, SmallFolders

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.catalog import make
from methods.compute.seeding import seeded_generator
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.leave_one_out.network import LeaveOneOutNetwork, NetworkConfig
from methods.leave_one_out.objective import Objective, draw_batch, leave_one_out_loss
from methods.pretraining.features import training_features
from methods.subject import Photo, Subject

PIXELS = np.random.default_rng(7).integers(0, 256, (48, 32, 3), dtype=np.uint8)
TALL = Image.fromarray(PIXELS)
SQUARE = TALL.crop((0, 8, 32, 40))
FITTED = {"loo-mean": ("photos.safetensors", "tokens"), "ip-adapter": ("image_embeds.safetensors", "photos")}


def fitted(name: str, image: Any, settings: dict[str, Any], backbone: Backbone, into: Path) -> torch.Tensor:
    into.mkdir()
    subject = Subject("ada", "woman", (Photo(image, "a photo of {subject}"),))
    make(name, settings).fit(subject, into, backbone=backbone, seed=0)
    file, tensor = FITTED[name]
    return load_file(into / file)[tensor]


@pytest.mark.parametrize("name", FITTED)
def test_adapters_trained_here_read_the_central_square(
    name: str, settings: dict[str, dict[str, Any]], backbone: Backbone, tmp_path: Path
) -> None:
    """`bench train` cuts photographs to their central square."""
    own = dict(settings[name])
    if name == "ip-adapter":
        file = tmp_path / "trained.safetensors"
        save_file(load_file(own["adapter"]), file, metadata={"training": "{}", "backbone": backbone.digest})
        own["adapter"] = str(file)
    tall, square = (
        fitted(name, image, own, backbone, tmp_path / part)
        for part, image in (("tall", TALL), ("square", SQUARE))
    )
    assert torch.equal(tall, square)


def test_published_adapters_read_the_whole_photograph(
    settings: dict[str, dict[str, Any]], backbone: Backbone, tmp_path: Path
) -> None:
    own = settings["ip-adapter"]
    whole = fitted("ip-adapter", TALL, {**own, "shown": "whole"}, backbone, tmp_path / "whole")
    centre = fitted("ip-adapter", TALL, {**own, "shown": "centre"}, backbone, tmp_path / "centre")
    assert torch.equal(fitted("ip-adapter", TALL, own, backbone, tmp_path / "default"), whole)
    assert not torch.equal(whole, centre)


def test_metadata_that_cannot_be_read_is_refused(
    settings: dict[str, dict[str, Any]], backbone: Backbone, tmp_path: Path
) -> None:
    file = tmp_path / "trained.safetensors"
    save_file(load_file(settings["ip-adapter"]["adapter"]), file, metadata={"training": "["})
    with pytest.raises(MethodError, match="metadata 'training' cannot be read"):
        fitted("ip-adapter", TALL, {**settings["ip-adapter"], "adapter": str(file)}, backbone, tmp_path / "a")


def test_training_on_sdxl_reads_the_original_size_and_the_crop(
    tiny_pipelines: SmallFolders, clip_folder: Path, people: Any, tmp_path: Path
) -> None:
    """The photographs were 16 pixels high and 32 wide; enlarged to the backbone's size, half is cut off."""
    backbone = Backbone.open(BackboneSpec(path=str(tiny_pipelines["sdxl"]), device="cpu", batch=1))
    encoder = open_encoder(clip_folder, backbone.device)
    features = training_features(
        people, tmp_path, backbone=backbone, encoder=encoder, progress=lambda *_: None
    )
    batch = draw_batch(features, Objective(), backbone.noise, 2, seeded_generator(0), backbone.device)
    expected = [[16, 32, 0, SIDE // 2, SIDE, SIDE]] * 2
    assert batch.time_ids is not None
    assert batch.time_ids.tolist() == expected
    config = NetworkConfig(
        "mean",
        patch_width=encoder.width,
        caption_width=features.pooled.shape[1],
        width=backbone.attention.width,
        tokens=2,
        hidden=64,
    )
    with torch.random.fork_rng():
        network = LeaveOneOutNetwork(config, backbone.attention)
    received: list[torch.Tensor] = []

    def record(module: torch.nn.Module, args: object, named: dict[str, Any]) -> None:
        received.append(named["added_cond_kwargs"]["time_ids"])

    hook = backbone.network.register_forward_pre_hook(record, with_kwargs=True)
    with network.adapter.attached(backbone.attention, scale=1.0), torch.no_grad():
        leave_one_out_loss(network, batch, backbone, "held-out")
    hook.remove()
    assert received[0].tolist() == expected
