"""IP-Adapter on FLUX.1 in XLabs' layout, compared with diffusers' pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from offloaded import open_offloaded, weights_beside_the_gpu, weights_off_the_gpu
from PIL import Image
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders, write_flux_adapter
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from methods.backbone.backbone import Backbone
from methods.backbone.images import stretched_to_square, tensor
from methods.encoders.clip_vision import CLIP_MEAN, CLIP_STD
from methods.errors import MethodError
from methods.ip_adapter.method import IPAdapter
from methods.ip_adapter.objective import IPAdapterTraining
from methods.ip_adapter.training import train_ip_adapter
from methods.pretraining.loop import Schedule
from methods.subject import Request, Subject

REQUESTS = [Request("a photo of {subject}, smiling", seed) for seed in (4, 5)]


@pytest.fixture
def backbone(flow_folders: FlowFolders) -> Backbone:
    return flow_folders.backbone("flux")


@pytest.fixture(params=["published", "trained"])
def adapter(
    request: pytest.FixtureRequest, backbone: Backbone, people: Any, clip_folder: Path, tmp_path: Path
) -> Path:
    if request.param == "published":
        return write_flux_adapter(tmp_path / "ip_adapter.safetensors", blocks=2)
    path = tmp_path / "trained" / "ip_adapter.safetensors"
    train_ip_adapter(
        people,
        path,
        training=IPAdapterTraining("double-blocks", "others", tokens=4, encoder=clip_folder),
        backbone=backbone,
        schedule=Schedule(steps=3, batch=4, learning_rate=0.1, warm_up=1, decay_from=1.0, ema=0.0),
        work=path.parent,
        progress=lambda *_: None,
    )
    return path


def embeddings(clip: Path, images: list[Image.Image]) -> Tensor:
    """CLIP's projected embeddings as the fit keeps them: (N, P)."""
    model = CLIPVisionModelWithProjection.from_pretrained(clip)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    pixels = torch.cat([tensor([stretched_to_square(image, 16)]) for image in images])
    with torch.no_grad():
        return model((pixels - mean) / std).image_embeds.half().float()


def plain_images(
    backbone: Backbone, adapter: Path, embeds: Tensor, scale: float, true_cfg_scale: float
) -> list[Image.Image]:
    pipe = FluxPipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    without: dict[str, Any] = {"image_encoder_pretrained_model_name_or_path": None}
    pipe.load_ip_adapter(adapter.parent, weight_name=adapter.name, subfolder="", **without)
    pipe.set_ip_adapter_scale(scale)
    images: list[Image.Image] = pipe(
        ["a photo of a woman, smiling"] * 2,
        negative_prompt=["a blurry picture"] * 2,
        true_cfg_scale=true_cfg_scale,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=SIDE,
        width=SIDE,
        max_sequence_length=16,
        ip_adapter_image_embeds=[embeds[None]],
        negative_ip_adapter_image_embeds=[torch.zeros_like(embeds)[None]],
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    return images


def largest_difference(ours: list[Image.Image], theirs: list[Image.Image]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()) for a, b in pairs)


@pytest.mark.parametrize(("photos", "scale", "true_cfg_scale"), [("concat", 0.7, 1.0), ("first", 1.0, 2.0)])
def test_images_equal_those_of_diffusers(
    photos: str,
    scale: float,
    true_cfg_scale: float,
    subject: Subject,
    backbone: Backbone,
    adapter: Path,
    clip_folder: Path,
    tmp_path: Path,
) -> None:
    settings = {"true_cfg_scale": true_cfg_scale, "negative_prompt": "a blurry picture"}
    backbone = replace(backbone, spec=replace(backbone.spec, **settings), cache={})  # type: ignore[arg-type]
    method = IPAdapter(str(adapter), str(clip_folder), scale=scale, photos=photos)  # type: ignore[arg-type]
    method.fit(subject, tmp_path, backbone=backbone, seed=0)
    images = method.load(tmp_path, backbone=backbone).generate(REQUESTS)
    assert backbone.state.leftovers(backbone.pipe) == []
    embeds = embeddings(clip_folder, [photo.image for photo in subject.references])
    shown = embeds[:1] if photos == "first" else embeds
    expected = plain_images(backbone, adapter, shown, scale, true_cfg_scale)
    assert largest_difference(images, expected) <= 1
    plain = backbone.generate(["a photo of a woman, smiling"] * 2, [4, 5])
    assert largest_difference(images, plain) > 1


@pytest.mark.parametrize("adapter", ["published"], indirect=True)
def test_sequential_offload_gives_the_same_images(
    subject: Subject, backbone: Backbone, adapter: Path, clip_folder: Path, tmp_path: Path
) -> None:
    method, offloaded = IPAdapter(str(adapter), str(clip_folder)), open_offloaded(backbone.spec)
    method.fit(subject, tmp_path, backbone=backbone, seed=0)
    with weights_off_the_gpu(offloaded):
        images = method.load(tmp_path, backbone=offloaded).generate(REQUESTS)
    assert largest_difference(images, method.load(tmp_path, backbone=backbone).generate(REQUESTS)) == 0
    assert offloaded.state.leftovers(offloaded.pipe) == []
    assert weights_beside_the_gpu(backbone, adapter) == []


def test_adapter_of_another_size_is_refused(
    subject: Subject, backbone: Backbone, clip_folder: Path, tmp_path: Path
) -> None:
    adapter = write_flux_adapter(tmp_path / "more.safetensors", blocks=3)
    with pytest.raises(MethodError, match="4 names differ, such as 2") as caught:
        IPAdapter(str(adapter), str(clip_folder)).fit(subject, tmp_path, backbone=backbone, seed=0)
    assert "\n" not in str(caught.value)
