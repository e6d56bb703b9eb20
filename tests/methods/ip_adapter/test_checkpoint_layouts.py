"""Every published kind of IP-Adapter draws on every family what plain diffusers draws from the same file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from tiny_adapters import PUBLISHED, State, scene, write_checkpoint, write_parts
from tiny_pipelines import SmallFolders
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.encoders.clip_vision import open_encoder
from methods.encoders.insightface_faces import Face, open_faces
from methods.ip_adapter.checkpoint import read_adapter
from methods.ip_adapter.faceid import IPAdapterFaceID
from methods.ip_adapter.method import IPAdapter
from methods.subject import Photo, Request, Subject

ASKED = Request("a photo of {subject}, smiling", 3)
PROMPT = "a photo of a woman, smiling"
PIXELS = 64
Method = IPAdapter | IPAdapterFaceID
MakeMethod = Callable[..., Method]


TOGETHER = [
    *(("sd1", kind) for kind in PUBLISHED),
    *(("sdxl", kind) for kind in ("base", "plus", "portrait", "faceid-plusv2")),
]
"""SDXL's other kinds differ from SD 1.5's in widths alone, and its LoRA of hundreds of layers takes time."""


@pytest.fixture(scope="module")
def shared_small(request: pytest.FixtureRequest, tiny_pipelines: SmallFolders) -> Backbone:
    spec = BackboneSpec(
        path=str(tiny_pipelines[request.param]),
        steps=2,
        guidance=3.0,
        batch=1,
        scheduler="ddim",
        device="cpu",
    )
    return Backbone.open(spec)


@pytest.fixture
def small(shared_small: Backbone) -> Backbone:
    """SD 1.5's and SDXL's layout in turn."""
    assert shared_small.state.leftovers(shared_small.pipe) == []
    return shared_small


@pytest.fixture(scope="module")
def plain(shared_small: Backbone) -> Any:
    """The same folder in plain diffusers."""
    nobody = {"safety_checker": None, "feature_extractor": None}
    pipe = DiffusionPipeline.from_pretrained(shared_small.folder, **nobody)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = type(shared_small.pipe.scheduler).from_config(shared_small.pipe.scheduler.config)
    return pipe


@pytest.fixture(scope="module")
def sitter() -> Subject:
    """Two photographs, each with one bright face."""
    faces = ((16, 24, (255, 200, 160)), (40, 32, (255, 160, 220)))
    photos = tuple(Photo(scene(face), f"a photo of {{subject}}, {i}") for i, face in enumerate(faces))
    return Subject("ada", "woman", photos)


@pytest.fixture(scope="module")
def file_of(shared_small: Backbone, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A checkpoint of each kind for the family, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("published")
    clip = open_encoder(clip_folder, shared_small.device).model
    return cache(lambda kind: write_checkpoint(folder, kind, shared_small.pipe.unet, clip=clip))


@pytest.fixture
def method_of(file_of: Any, clip_folder: Path, face_models: Path) -> MakeMethod:
    def make(kind: str, **settings: Any) -> Method:
        own: dict[str, Any] = {"adapter": str(file_of(kind)), "encoder": str(clip_folder)}
        if kind in ("base", "plus", "full-face"):
            return IPAdapter(**{**own, **settings})
        own |= {"faces": str(face_models), "detector_size": PIXELS}
        own["encoder"] *= kind.startswith("faceid-plus")
        return IPAdapterFaceID(**{**own, **settings})

    return make


def drawn(method: Method, subject: Subject, into: Path, backbone: Backbone) -> Image.Image:
    into.mkdir()
    method.fit(subject, into, backbone=backbone, seed=1)
    return method.load(into, backbone=backbone).generate([ASKED])[0]


def close(one: Image.Image, other: Image.Image) -> bool:
    """The same but for rounding: we project the photographs once, diffusers in every step."""
    pairs = zip(one.tobytes(), other.tobytes(), strict=True)
    return max(abs(a - b) for a, b in pairs) <= 1


def by_diffusers(
    pipe: Any, file: Path, embeds: Tensor, clip: Tensor | None = None, *, shortcut: bool = False
) -> Image.Image:
    """One picture, the file read by diffusers' own loader."""
    pipe.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None)
    try:
        pipe.set_ip_adapter_scale(0.7)
        layer = pipe.unet.encoder_hid_proj.image_projection_layers[0]
        if clip is not None:
            layer.clip_embeds, layer.shortcut = clip, shortcut
        return picture(pipe, ip_adapter_image_embeds=[embeds])
    finally:
        pipe.unload_ip_adapter()
        pipe.unload_lora_weights()


def picture(pipe: Any, **more: Any) -> Image.Image:
    image: Image.Image = pipe(
        PROMPT,
        height=PIXELS,
        width=PIXELS,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3),
        **more,
    ).images[0]
    return image


def faces_of(sitter: Subject, face_models: Path) -> list[Face]:
    return open_faces(face_models, PIXELS).faces(sitter)


def embeds_for(kind: str, sitter: Subject, clip_folder: Path, face_models: Path) -> tuple[Tensor, Any]:
    """What one passes to plain diffusers: nothing, then the photographs; and CLIP's part of FaceID-Plus."""
    encoder = open_encoder(clip_folder, torch.device("cpu"))
    images = [photo.image for photo in sitter.references]
    if kind == "base":
        photos = encoder.embeddings(images)
        return torch.stack([torch.zeros_like(photos), photos]).half().float(), None
    if kind in ("plus", "full-face"):
        photos = encoder.patches(images)
        return torch.stack([encoder.nothing().expand_as(photos), photos]).half().float(), None
    faces = faces_of(sitter, face_models)
    vectors = torch.stack([face.embedding / face.embedding.norm() for face in faces])[:, None]
    clip = None
    if kind.startswith("faceid-plus"):
        patches = encoder.patches([face.picture for face in faces])
        clip = torch.stack([encoder.nothing().expand_as(patches), patches]).half().float()
    return torch.stack([torch.zeros_like(vectors), vectors]), clip


@pytest.mark.parametrize(("shared_small", "kind"), TOGETHER, indirect=["shared_small"])
def test_plain_diffusers_draws_the_same_from_every_kind_of_file(
    kind: str,
    method_of: MakeMethod,
    small: Backbone,
    plain: Any,
    sitter: Subject,
    file_of: Any,
    clip_folder: Path,
    face_models: Path,
    tmp_path: Path,
) -> None:
    ours = drawn(method_of(kind, scale=0.7), sitter, tmp_path / "fit", small)
    embeds, clip = embeds_for(kind, sitter, clip_folder, face_models)
    theirs = by_diffusers(plain, file_of(kind), embeds, clip, shortcut=kind == "faceid-plusv2")
    assert close(ours, theirs)
    assert small.state.leftovers(small.pipe) == []
    assert not close(ours, small.generate([PROMPT], [3])[0])


def merged(unet: Any, lora: State) -> Any:
    """The U-Net with the LoRA's products added to the weights themselves, by the published numbering."""
    for place, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("q", "k", "v", "out"):
            layer = attention.to_out[0] if part == "out" else getattr(attention, f"to_{part}")
            up, down = (lora[f"{place}.to_{part}_lora.{side}.weight"] for side in ("up", "down"))
            layer.weight.data += up @ down
    return unet


@pytest.mark.parametrize("shared_small", ["sd1"], indirect=True)
def test_the_lora_of_a_faceid_file_is_that_of_its_own_layers(
    method_of: MakeMethod,
    small: Backbone,
    plain: Any,
    file_of: Any,
    sitter: Subject,
    clip_folder: Path,
    face_models: Path,
    tmp_path: Path,
) -> None:
    checkpoint = read_adapter(file_of("faceid"))
    lora = {name: value for name, value in checkpoint.ip_adapter.items() if "_lora" in name}
    rest = {name: value for name, value in checkpoint.ip_adapter.items() if "_lora" not in name}
    write_parts(tmp_path / "bare.safetensors", dict(checkpoint.image_proj), rest)
    plain.unet = merged(copy.deepcopy(own := plain.unet), lora)
    embeds, _ = embeds_for("faceid", sitter, clip_folder, face_models)
    wanted = by_diffusers(plain, tmp_path / "bare.safetensors", embeds)
    plain.unet = own
    ours = drawn(method_of("faceid", scale=0.7), sitter, tmp_path / "fit", small)
    assert close(ours, wanted)
    without = drawn(method_of("faceid", scale=0.7, lora_scale=0.0), sitter, tmp_path / "without", small)
    assert not close(ours, without)
    bare = method_of("faceid", scale=0.7, adapter=str(tmp_path / "bare.safetensors"))
    assert close(without, drawn(bare, sitter, tmp_path / "bare", small))
