"""The weights that ship: each adapter belongs to its backbone, and shows the person in its images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from methods.backbone.backbone import Backbone
from methods.backbone.spec import SHIPPED_BACKBONES, BackboneSpec
from methods.catalog import make
from methods.ip_adapter.checkpoint import read_adapter
from methods.leave_one_out.network import read_config
from methods.shipped import WEIGHTS, adapter_name, adapter_path
from methods.subject import Request, Subject

LEAVE_ONE_OUT = ("loo-mean", "loo-attention", "loo-caption-attention")
OTHERS = "ip-adapter-others-flow"
"""An IP-Adapter trained by leave-one-out."""


@pytest.fixture(scope="module", params=SHIPPED_BACKBONES)
def shipped(request: pytest.FixtureRequest) -> Backbone:
    length = 0 if request.param == "embedded-flow" else None
    spec = BackboneSpec(
        path=request.param, steps=4, guidance=3.0, batch=1, device="cpu", max_sequence_length=length
    )
    return Backbone.open(spec)


def test_adapters_name_their_backbone_and_have_a_card(shipped: Backbone) -> None:
    path = shipped.spec.path
    digests = {name: read_config(adapter_path(name, path)).backbone for name in LEAVE_ONE_OUT}
    digests["ip-adapter"] = read_adapter(adapter_path("ip-adapter", path)).metadata["backbone"]
    assert digests == dict.fromkeys((*LEAVE_ONE_OUT, "ip-adapter"), shipped.digest)
    for name in digests:
        assert (WEIGHTS / f"{adapter_name(name, path)}.md").is_file()


def test_leave_one_out_in_the_published_layout_and_its_control_differ_in_the_condition_only() -> None:
    """The same layout, steps and start; found by the name of the file."""
    path = adapter_path("ip-adapter", OTHERS)
    assert path == WEIGHTS / f"{OTHERS}.safetensors"
    assert path.with_suffix(".md").is_file()
    others, control = (
        json.loads(read_adapter(adapter_path("ip-adapter", name)).metadata["training"])
        for name in (OTHERS, "embedded-flow")
    )
    assert (others.pop("condition"), control.pop("condition")) == ("others", "self")
    # Each continued from its own file with as many steps.
    for settings in (others, control):
        del settings["started_from"]
    assert others == control


def test_a_setting_that_names_no_shipped_file_is_a_path(tmp_path: Path) -> None:
    assert adapter_path("ip-adapter", str(tmp_path / "own.safetensors")) == tmp_path / "own.safetensors"


@pytest.mark.parametrize("name", [*LEAVE_ONE_OUT, "ip-adapter"])
def test_adapters_change_the_images_of_their_backbone(
    name: str, shipped: Backbone, subject: Subject, tmp_path: Path
) -> None:
    setting = "adapter" if name == "ip-adapter" else "network"
    method = make(name, {setting: shipped.spec.path})
    method.fit(subject, tmp_path, backbone=shipped, seed=0)
    request = Request("a photo of {subject}", 3)
    (image,) = method.load(tmp_path, backbone=shipped).generate([request])
    (plain,) = shipped.generate([request.prompt(subject.phrase)], [request.seed])
    assert image.size == (64, 64)
    assert difference(image, plain) > 2


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of the pixels, of 255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())
