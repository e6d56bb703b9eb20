"""Loading a quantised transformer through diffusers' own options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders, spec_of
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

from methods.backbone import load
from methods.backbone.backbone import Backbone
from methods.backbone.load import quantization_options
from methods.errors import MethodError
from methods.lora.merged import merged

PROMPTS = ["a photo of a man, smiling", "a photo of a dog"]


def test_missing_package_is_one_line(flow_folders: FlowFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.delitem(sys.modules, "torchao.quantization", raising=False)
    with pytest.raises(MethodError, match=r"needs the package torchao .*pip install") as caught:
        Backbone.open(spec_of(flow_folders["sd3"], quantization="torchao-int8"))
    assert "\n" not in str(caught.value)


def test_u_nets_and_unknown_names_are_refused(backbone: Backbone) -> None:
    with pytest.raises(MethodError, match="quantization = 'torchao-int8' is for transformers"):
        Backbone.open(replace(backbone.spec, quantization="torchao-int8"))
    with pytest.raises(MethodError, match="unknown quantization 'int3'; known: torchao-int8"):
        quantization_options("int3")


def test_config_is_passed_for_the_transformer_alone(
    flow_folders: FlowFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    own: Callable[..., Any] = load._load_network

    def record(folder: Any, name: str, *rest: Any, variant: str | None = None, **options: Any) -> Any:
        asked.append((name, options))
        return own(folder, name, *rest, variant=variant)

    monkeypatch.setattr(load, "quantization_options", lambda name: {"quantization_config": name})
    monkeypatch.setattr(load, "_load_network", record)
    Backbone.open(spec_of(flow_folders["flux"], quantization="torchao-int8"))
    expected = {"transformer": {"quantization_config": "torchao-int8"}}
    assert dict(asked) == {"vae": {}, "text_encoder": {}, "text_encoder_2": {}, **expected}


def quantised_layer() -> nn.Linear:
    """A layer whose weight consists of two tensors, as a quantised one does."""
    layer = nn.Linear(4, 4)
    parts = (torch.arange(16.0).view(4, 4), torch.ones(4, 4))
    layer.weight = nn.Parameter(TwoTensor(*parts), requires_grad=False)
    return layer.requires_grad_(False).eval()


def test_change_inside_a_quantised_weight_is_found(flow_folders: FlowFolders) -> None:
    backbone = Backbone.open(spec_of(flow_folders["flux"]))
    pipe = backbone.pipe
    pipe.transformer.proj_out = quantised_layer()
    state = type(backbone.state).of(pipe)
    assert state.leftovers(pipe) == []
    with torch.no_grad():
        pipe.transformer.proj_out.weight.b.add_(1.0)
    assert state.leftovers(pipe) == ["weight transformer.proj_out.weight was changed"]


def test_lora_is_not_merged_into_quantised_weights() -> None:
    from peft import LoraConfig, inject_adapter_in_model

    network = nn.Sequential(nn.Linear(4, 4))
    inject_adapter_in_model(LoraConfig(target_modules=["0"]), network, "person")
    network[0].base_layer = quantised_layer()
    with (
        pytest.raises(MethodError, match="cannot be merged into quantised weights"),
        merged([network], "person", training=False),
    ):
        pass


@pytest.mark.parametrize("family", ["sd3", "flux", "flux2"])
def test_images_equal_those_of_the_quantised_pipeline(family: str, flow_folders: FlowFolders) -> None:
    """Runs where torchao is installed."""
    pytest.importorskip("torchao")
    own = flow_folders.backbone(family)
    backbone = Backbone.open(replace(own.spec, quantization="torchao-int8", dtype="bf16"))
    assert "Int8Tensor" in {type(weight.data).__name__ for weight in backbone.network.parameters()}
    images = backbone.generate(PROMPTS, [4, 5])
    assert largest_difference(images, plain_images(backbone)) <= 1
    whole = Backbone.open(replace(own.spec, dtype="bf16"))
    assert images[0].tobytes() != whole.generate(PROMPTS, [4, 5])[0].tobytes()
    assert backbone.state.leftovers(backbone.pipe) == []
    with backbone.clean():
        for weight in backbone.network.parameters():
            (weight.data.qdata if type(weight.data).__name__ == "Int8Tensor" else weight.data).zero_()
        backbone.restore()
    assert backbone.generate(PROMPTS, [4, 5])[0].tobytes() == images[0].tobytes()


def plain_images(backbone: Backbone) -> list[Image]:
    network = type(backbone.network).from_pretrained(
        backbone.folder / "transformer", torch_dtype=torch.bfloat16, **quantization_options("torchao-int8")
    )
    pipe = DiffusionPipeline.from_pretrained(backbone.folder, transformer=network, dtype=torch.bfloat16)
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.to(memory_format=torch.channels_last)
    images: list[Image] = pipe(
        prompt=PROMPTS,
        num_inference_steps=2,
        height=SIDE,
        width=SIDE,
        guidance_scale=3.0,
        max_sequence_length=backbone.spec.max_sequence_length,
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    return images


def largest_difference(ours: list[Image], theirs: list[Image]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()) for a, b in pairs)
