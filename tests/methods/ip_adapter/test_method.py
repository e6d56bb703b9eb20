"""IP-Adapter: published layouts, several photographs, and agreement with plain diffusers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.embeddings import ImageProjection
from PIL.Image import Image
from safetensors.torch import load_file, save_file

from methods.backbone.backbone import Backbone
from methods.catalog import make
from methods.encoders.clip_vision import open_encoder
from methods.encoders.resampler import new_resampler, published
from methods.errors import MethodError
from methods.ip_adapter.method import IPAdapter
from methods.ip_adapter.training import TrainableAdapter
from methods.subject import Request, Subject

REQUEST = Request("a photo of {subject}, smiling", 3)
Settings = dict[str, dict[str, object]]


@pytest.fixture
def plus(settings: Settings) -> IPAdapter:
    method = make("ip-adapter", settings["ip-adapter"])
    assert isinstance(method, IPAdapter)
    return method


@pytest.fixture
def base(plus: IPAdapter, backbone: Backbone, tmp_path: Path) -> IPAdapter:
    """The same keys and values with a base projection."""
    state = {name: value for name, value in load_file(plus.adapter).items() if name.startswith("ip_adapter")}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        projection = ImageProjection(12, backbone.attention.width, 4)
    names = {"image_embeds.weight": "proj.weight", "image_embeds.bias": "proj.bias"}
    for name, value in projection.state_dict().items():
        state[f"image_proj.{names.get(name, name)}"] = value
    file = tmp_path / "base.safetensors"
    save_file(state, file)
    return replace(plus, adapter=str(file))


def generate(method: IPAdapter, subject: Subject, into: Path, backbone: Backbone) -> Image:
    into.mkdir()
    method.fit(subject, into, backbone=backbone, seed=1)
    return method.load(into, backbone=backbone).generate([REQUEST])[0]


def equal_up_to_rounding(one: Image, other: Image) -> bool:
    """Our code projects the photographs once, diffusers in every step; this rounds differently."""
    pairs = zip(one.tobytes(), other.tobytes(), strict=True)
    return max(abs(a - b) for a, b in pairs) <= 1


def generate_with_diffusers(folder: Path, adapter: Path, embeds: torch.Tensor, scale: float) -> Image:
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter(
        str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None
    )
    pipe.set_ip_adapter_scale(scale)
    image: Image = pipe(
        ["a photo of a woman, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
        ip_adapter_image_embeds=[embeds],
    ).images[0]
    return image


def test_plain_diffusers_generates_the_same_from_a_plus_file_and_several_photos(
    plus: IPAdapter, subject: Subject, backbone: Backbone, sd_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    method = replace(plus, scale=0.8)
    encoder = open_encoder(clip_folder, backbone.device)
    photos = encoder.patches([photo.image for photo in subject.references])
    embeds = torch.stack([encoder.nothing().expand_as(photos), photos]).half().float()
    ours = generate(method, subject, tmp_path / "fit", backbone)
    assert equal_up_to_rounding(ours, generate_with_diffusers(sd_folder, Path(method.adapter), embeds, 0.8))
    assert not equal_up_to_rounding(ours, backbone.generate(["a photo of a woman, smiling"], [3])[0])


def test_plain_diffusers_generates_the_same_from_a_base_file(
    base: IPAdapter, subject: Subject, backbone: Backbone, sd_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    photos = open_encoder(clip_folder, backbone.device).embeddings([p.image for p in subject.references])
    embeds = torch.stack([torch.zeros_like(photos), photos]).half().float()
    ours = generate(base, subject, tmp_path / "fit", backbone)
    assert equal_up_to_rounding(ours, generate_with_diffusers(sd_folder, Path(base.adapter), embeds, 1.0))


def test_each_way_of_combining_photos_gives_another_image(
    plus: IPAdapter, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    methods = [replace(plus, photos=photos) for photos in ("concat", "mean", "first")]
    images = [generate(m, subject, tmp_path / m.photos, backbone).tobytes() for m in methods]
    assert len(set(images)) == 3
    alone = Subject(subject.id, subject.noun, subject.references[:1])
    assert generate(plus, alone, tmp_path / "alone", backbone).tobytes() == images[2]


def test_photo_order_does_not_change_the_image(
    plus: IPAdapter, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    reversed_order = Subject(subject.id, subject.noun, subject.references[::-1])
    assert equal_up_to_rounding(
        generate(plus, subject, tmp_path / "one", backbone),
        generate(plus, reversed_order, tmp_path / "other", backbone),
    )


def test_scale_zero_gives_the_backbone_image(
    plus: IPAdapter, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    ours = generate(replace(plus, scale=0.0), subject, tmp_path / "fit", backbone)
    assert equal_up_to_rounding(ours, backbone.generate(["a photo of a woman, smiling"], [3])[0])


def test_photographs_are_resized_without_cropping(
    clip_folder: Path, subject: Subject, backbone: Backbone
) -> None:
    encoder = open_encoder(clip_folder, backbone.device)
    wide = subject.references[0].image.resize((48, 16))
    changed = wide.copy()
    changed.paste((255, 0, 0), (0, 0, 8, 16))
    assert not torch.allclose(encoder.patches([wide]), encoder.patches([changed]))


def test_weights_of_another_backbone_are_refused_unless_allowed(
    plus: IPAdapter, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    file = tmp_path / "other.safetensors"
    save_file(load_file(plus.adapter), file, metadata={"backbone": "0123456789abcdef"})
    method = replace(plus, adapter=str(file))
    with pytest.raises(MethodError, match="trained with backbone 0123456789ab"):
        method.fit(subject, tmp_path, backbone=backbone, seed=1)
    generate(replace(method, other_backbone=True), subject, tmp_path / "fit", backbone)


def test_files_that_are_not_adapters_give_a_one_line_error(
    plus: IPAdapter, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    cut, foreign, narrow = (
        tmp_path / name for name in ("cut.safetensors", "lora.safetensors", "narrow.safetensors")
    )
    cut.write_bytes(Path(plus.adapter).read_bytes()[:500])
    save_file({"unet.weight": torch.ones(1)}, foreign)
    with torch.random.fork_rng():
        resampler = new_resampler(patch_width=16, width=48, tokens=2, hidden=64)
    keys = {f"image_proj.{name}": value for name, value in published(resampler.state_dict()).items()}
    save_file({**keys, "ip_adapter.1.to_k_ip.weight": torch.ones(16, 48)}, narrow)
    for path, message in (
        (tmp_path / "none.safetensors", "no such weights"),
        (cut, "not a safetensors file"),
        (foreign, "published layout"),
        (narrow, "48 wide"),
    ):
        with pytest.raises(MethodError, match=message) as caught:
            replace(plus, adapter=str(path)).fit(subject, tmp_path, backbone=backbone, seed=1)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_plus_adapter_has_the_published_tensor_names(backbone: Backbone) -> None:
    with torch.random.fork_rng():
        resampler = new_resampler(patch_width=16, width=32, tokens=2, hidden=64)
        state = TrainableAdapter(backbone.attention, resampler, 2).published()
    assert state["image_proj.layers.0.0.to_kv.weight"].shape == (128, 64)
    assert {
        "image_proj.latents",
        "image_proj.layers.3.1.3.weight",
        "image_proj.layers.0.0.norm1.weight",
    } <= set(state)
    numbers = sorted({int(name.split(".")[1]) for name in state if name.startswith("ip_adapter")})
    assert numbers == [1, 3, 5, 7][: len(numbers)]


def test_mean_of_tokens_of_one_photograph_repeated_is_its_own(
    settings: dict[str, dict[str, object]], subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    """The mean of features is taken before the projection, the mean of tokens after it."""
    photo = subject.references[0]
    images = {}
    for photos, references in (
        ("mean-tokens", (photo, photo)),
        ("first", (photo,)),
        ("mean", subject.references),
        ("mean-tokens", subject.references),
    ):
        method = make("ip-adapter", {**settings["ip-adapter"], "photos": photos})
        into = tmp_path / f"{photos}-{len(references)}"
        into.mkdir()
        method.fit(Subject("ada", "woman", references), into, backbone=backbone, seed=0)
        request = Request("a photo of {subject}, smiling", 3)
        (image,) = method.load(into, backbone=backbone).generate([request])
        images[photos, len(references)] = np.asarray(image).astype(int)
    assert np.abs(images["mean-tokens", 2] - images["first", 1]).max() <= 1
    assert (images["mean", 3] != images["mean-tokens", 3]).any()
