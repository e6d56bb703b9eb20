"""IP-Adapter on Stable Diffusion 3.5 in InstantX's layout, compared with diffusers' pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from offloaded import open_offloaded, weights_beside_the_gpu, weights_off_the_gpu
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders
from torch import Tensor
from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.ip_adapter.method import IPAdapter
from methods.subject import Request, Subject

WIDTH, PATCHES = 64, 16
PUBLISHED = {
    "ln0": "0.norm1",
    "ln1": "0.norm2",
    "attn.to_q": "0.to_q",
    "attn.to_kv": "0.to_kv",
    "attn.to_out.0": "0.to_out",
    "adaln_norm": "1.0",
    "ff.net.0.proj": "1.1",
    "ff.net.2": "1.3",
    "adaln_proj": "2.1",
}
"""The published names of a Resampler layer's modules."""
REQUESTS = [Request("a photo of {subject}, smiling", seed) for seed in (4, 5)]


def published_name(name: str) -> str:
    if not name.startswith("layers."):
        return name
    _, layer, rest = name.split(".", 2)
    module, _, tensor = rest.rpartition(".")
    return f"layers.{layer}.{PUBLISHED[module]}.{tensor}"


def write_adapter(path: Path, layers: int) -> Path:
    """A file in the layout of InstantX/SD3.5-Large-IP-Adapter, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        resampler = IPAdapterTimeImageProjection(
            embed_dim=PATCHES, output_dim=WIDTH, hidden_dim=64, heads=1, num_queries=3, timestep_in_dim=32
        )
        state = {f"image_proj.{published_name(k)}": v for k, v in resampler.state_dict().items()}
        for index in range(layers):
            layer = SD3IPAdapterJointAttnProcessor2_0(
                hidden_size=WIDTH, ip_hidden_states_dim=WIDTH, head_dim=16, timesteps_emb_dim=64
            )
            state |= {f"ip_adapter.{index}.{k}": v for k, v in layer.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siglip")
    config = SiglipVisionConfig(
        hidden_size=PATCHES,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        SiglipVisionModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture
def backbone(flow_folders: FlowFolders) -> Backbone:
    return flow_folders.backbone("sd3")


@pytest.fixture
def adapter(backbone: Backbone, tmp_path: Path) -> Path:
    layers = len(backbone.adapter_attention.processor_names)
    return write_adapter(tmp_path / "ip-adapter.safetensors", layers)


def patches(siglip: Path, images: list[Image.Image]) -> Tensor:
    """SigLIP's tokens by transformers' own processor: (N, L, E)."""
    processor, model = SiglipImageProcessor.from_pretrained(siglip), SiglipVisionModel.from_pretrained(siglip)
    pixels = processor(images=[image.convert("RGB") for image in images], return_tensors="pt").pixel_values
    with torch.no_grad():
        return model(pixels, output_hidden_states=True).hidden_states[-2]


def plain_images(backbone: Backbone, adapter: Path, features: Tensor, scale: float) -> list[Image.Image]:
    pipe = StableDiffusion3Pipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter(adapter.parent, weight_name=adapter.name, subfolder="", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(scale)
    both = torch.cat([torch.zeros_like(features), features])
    images: list[Image.Image] = pipe(
        ["a photo of a woman, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        max_sequence_length=16,
        ip_adapter_image_embeds=both,
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    return images


def generated(method: IPAdapter, subject: Subject, into: Path, backbone: Backbone) -> list[Image.Image]:
    into.mkdir(exist_ok=True)
    method.fit(subject, into, backbone=backbone, seed=0)
    images = method.load(into, backbone=backbone).generate(REQUESTS)
    assert backbone.state.leftovers(backbone.pipe) == []
    return images


def largest_difference(ours: list[Image.Image], theirs: list[Image.Image]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()) for a, b in pairs)


@pytest.mark.parametrize(("photos", "scale"), [("first", 1.0), ("concat", 0.5), ("mean", 1.0)])
def test_images_equal_those_of_diffusers(
    photos: str,
    scale: float,
    subject: Subject,
    backbone: Backbone,
    adapter: Path,
    siglip: Path,
    tmp_path: Path,
) -> None:
    method = IPAdapter(str(adapter), str(siglip), scale=scale, photos=photos)  # type: ignore[arg-type]
    images = generated(method, subject, tmp_path / "fit", backbone)
    # The fit keeps features in half precision.
    tokens = patches(siglip, [photo.image for photo in subject.references]).half().float()
    features = {
        "first": tokens[:1],
        "concat": tokens.flatten(0, 1)[None],
        "mean": tokens.mean(0, keepdim=True),
    }
    expected = plain_images(backbone, adapter, features[photos], scale)
    assert largest_difference(images, expected) <= 1
    plain = backbone.generate(["a photo of a woman, smiling"] * 2, [4, 5])
    assert largest_difference(images, plain) > 1


def test_sequential_offload_gives_the_same_images(
    subject: Subject, backbone: Backbone, adapter: Path, siglip: Path, tmp_path: Path
) -> None:
    method, offloaded = IPAdapter(str(adapter), str(siglip)), open_offloaded(backbone.spec)
    expected = generated(method, subject, tmp_path / "fit", backbone)
    with weights_off_the_gpu(offloaded):
        images = method.load(tmp_path / "fit", backbone=offloaded).generate(REQUESTS)
    assert largest_difference(images, expected) == 0
    assert offloaded.state.leftovers(offloaded.pipe) == []
    assert weights_beside_the_gpu(backbone, adapter) == []


def test_order_of_the_photographs_does_not_matter(
    subject: Subject, backbone: Backbone, adapter: Path, siglip: Path, tmp_path: Path
) -> None:
    method = IPAdapter(str(adapter), str(siglip))
    turned = Subject(subject.id, subject.noun, subject.references[::-1])
    images = generated(method, subject, tmp_path / "a", backbone)
    assert largest_difference(images, generated(method, turned, tmp_path / "b", backbone)) <= 1


def test_files_of_other_families_and_impossible_settings_are_refused(
    subject: Subject,
    backbone: Backbone,
    shared_backbone: Backbone,
    settings: dict[str, dict[str, object]],
    adapter: Path,
    siglip: Path,
    tmp_path: Path,
) -> None:
    ours = IPAdapter(str(adapter), str(siglip))
    cases = [
        (IPAdapter(**settings["ip-adapter"], other_backbone=True), backbone, "its layout is plus"),  # type: ignore[arg-type]
        (ours, shared_backbone, "its layout is time-resampler"),
        (IPAdapter(str(adapter), str(siglip), photos="mean-tokens"), backbone, "mean-tokens' is for U-Nets"),
        (IPAdapter(str(adapter), str(siglip), scale={"up": 1.0}), backbone, "scale of up"),
    ]
    state = load_file(adapter)
    del state["ip_adapter.0.norm_q.weight"]
    save_file(state, tmp_path / "short.safetensors")
    cases.append((IPAdapter(str(tmp_path / "short.safetensors"), str(siglip)), backbone, "names differ"))
    for method, other, message in cases:
        with pytest.raises(MethodError, match=message) as caught:
            method.fit(subject, tmp_path, backbone=other, seed=0)
        assert "\n" not in str(caught.value)
    assert backbone.resolution == SIDE
