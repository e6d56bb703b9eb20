"""Every published IP-Adapter layout generates the same images as plain diffusers, on SD 1.5 and SDXL."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from offloaded import open_offloaded, weights_beside_the_gpu, weights_off_the_gpu
from PIL import Image
from tiny_adapters import PUBLISHED, State, scene, write_checkpoint, write_parts
from tiny_pipelines import SmallFolders
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.encoders.clip_vision import open_encoder
from methods.encoders.insightface_faces import Face, open_faces
from methods.errors import MethodError
from methods.ip_adapter.block_scales import BlockScales
from methods.ip_adapter.checkpoint import read_adapter
from methods.ip_adapter.faceid import IPAdapterFaceID
from methods.ip_adapter.method import IPAdapter
from methods.subject import Photo, Request, Subject

REQUEST = Request("a photo of {subject}, smiling", 3)
PROMPT = "a photo of a woman, smiling"
PIXELS = 64
Method = IPAdapter | IPAdapterFaceID
MakeMethod = Callable[..., Method]


FAMILIES_AND_KINDS = [
    *(("sd1", kind) for kind in PUBLISHED),
    *(("sdxl", kind) for kind in ("base", "plus", "portrait", "faceid-plusv2")),
]
"""SDXL's other kinds differ from SD 1.5's only in widths, and its LoRA of hundreds of layers is slow."""


@pytest.fixture(scope="module")
def shared_tiny_backbone(request: pytest.FixtureRequest, tiny_pipelines: SmallFolders) -> Backbone:
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
def tiny_backbone(shared_tiny_backbone: Backbone) -> Backbone:
    """A tiny backbone in SD 1.5's or SDXL's layout."""
    assert shared_tiny_backbone.state.leftovers(shared_tiny_backbone.pipe) == []
    return shared_tiny_backbone


@pytest.fixture(scope="module")
def plain(shared_tiny_backbone: Backbone) -> Any:
    """The same folder in plain diffusers."""
    no_extras = {"safety_checker": None, "feature_extractor": None}
    pipe = DiffusionPipeline.from_pretrained(shared_tiny_backbone.folder, **no_extras)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = type(shared_tiny_backbone.pipe.scheduler).from_config(
        shared_tiny_backbone.pipe.scheduler.config
    )
    return pipe


@pytest.fixture(scope="module")
def subject() -> Subject:
    """Two photographs, each with one bright face."""
    faces = ((16, 24, (255, 200, 160)), (40, 32, (255, 160, 220)))
    photos = tuple(Photo(scene(face), f"a photo of {{subject}}, {i}") for i, face in enumerate(faces))
    return Subject("ada", "woman", photos)


@pytest.fixture(scope="module")
def file_of(
    shared_tiny_backbone: Backbone, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Return a checkpoint of a kind for this family, written on first use."""
    folder = tmp_path_factory.mktemp("published")
    clip = open_encoder(clip_folder, shared_tiny_backbone.device).model
    return cache(lambda kind: write_checkpoint(folder, kind, shared_tiny_backbone.pipe.unet, clip=clip))


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


def generate(method: Method, subject: Subject, into: Path, backbone: Backbone) -> Image.Image:
    into.mkdir()
    method.fit(subject, into, backbone=backbone, seed=1)
    return method.load(into, backbone=backbone).generate([REQUEST])[0]


def equal_up_to_rounding(one: Image.Image, other: Image.Image) -> bool:
    """Our code projects the photographs once, diffusers in every step; this rounds differently."""
    pairs = zip(one.tobytes(), other.tobytes(), strict=True)
    return max(abs(a - b) for a, b in pairs) <= 1


def generate_with_diffusers(
    pipe: Any,
    file: Path,
    embeds: Tensor,
    clip: Tensor | None = None,
    *,
    shortcut: bool = False,
    scale: float | BlockScales = 0.7,
) -> Image.Image:
    """Generate one image; diffusers' own loader reads the file."""
    pipe.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None)
    try:
        pipe.set_ip_adapter_scale(copy.deepcopy(scale))
        layer = pipe.unet.encoder_hid_proj.image_projection_layers[0]
        if clip is not None:
            layer.clip_embeds, layer.shortcut = clip, shortcut
        return run_pipeline(pipe, ip_adapter_image_embeds=[embeds])
    finally:
        pipe.unload_ip_adapter()
        pipe.unload_lora_weights()


def run_pipeline(pipe: Any, **options: Any) -> Image.Image:
    image: Image.Image = pipe(
        PROMPT,
        height=PIXELS,
        width=PIXELS,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3),
        **options,
    ).images[0]
    return image


def faces_of(subject: Subject, face_models: Path) -> list[Face]:
    return open_faces(face_models, PIXELS).faces(subject)


def embeds_for(kind: str, subject: Subject, clip_folder: Path, face_models: Path) -> tuple[Tensor, Any]:
    """Inputs of plain diffusers: unconditional and photographs; and CLIP's part of FaceID-Plus."""
    encoder = open_encoder(clip_folder, torch.device("cpu"))
    images = [photo.image for photo in subject.references]
    if kind == "base":
        photos = encoder.embeddings(images)
        return torch.stack([torch.zeros_like(photos), photos]).half().float(), None
    if kind in ("plus", "full-face"):
        photos = encoder.patches(images)
        return torch.stack([encoder.nothing().expand_as(photos), photos]).half().float(), None
    faces = faces_of(subject, face_models)
    vectors = torch.stack([face.embedding / face.embedding.norm() for face in faces])[:, None]
    clip = None
    if kind.startswith("faceid-plus"):
        patches = encoder.patches([face.picture for face in faces])
        clip = torch.stack([encoder.nothing().expand_as(patches), patches]).half().float()
    return torch.stack([torch.zeros_like(vectors), vectors]), clip


@pytest.mark.parametrize(
    ("shared_tiny_backbone", "kind"), FAMILIES_AND_KINDS, indirect=["shared_tiny_backbone"]
)
def test_plain_diffusers_generates_the_same_image_from_every_layout(
    kind: str,
    method_of: MakeMethod,
    tiny_backbone: Backbone,
    plain: Any,
    subject: Subject,
    file_of: Any,
    clip_folder: Path,
    face_models: Path,
    tmp_path: Path,
) -> None:
    ours = generate(method_of(kind, scale=0.7), subject, tmp_path / "fit", tiny_backbone)
    embeds, clip = embeds_for(kind, subject, clip_folder, face_models)
    theirs = generate_with_diffusers(plain, file_of(kind), embeds, clip, shortcut=kind == "faceid-plusv2")
    assert equal_up_to_rounding(ours, theirs)
    assert tiny_backbone.state.leftovers(tiny_backbone.pipe) == []
    assert not equal_up_to_rounding(ours, tiny_backbone.generate([PROMPT], [3])[0])


SCALES: list[BlockScales] = [
    {"up": {"block_1": [0.0, 0.9, 0.2]}},
    {"down": {"block_1": 0.4}, "mid": 1.5},
    {"down": -0.5, "mid": [0.0], "up": {"block_1": 0.3}},
]


@pytest.mark.parametrize(
    ("shared_tiny_backbone", "kind"),
    [("sd1", "base"), ("sd1", "portrait"), ("sdxl", "base")],
    indirect=["shared_tiny_backbone"],
)
def test_scale_by_block_generates_the_same_image_as_plain_diffusers(
    kind: str,
    method_of: MakeMethod,
    tiny_backbone: Backbone,
    plain: Any,
    subject: Subject,
    file_of: Any,
    clip_folder: Path,
    face_models: Path,
    tmp_path: Path,
) -> None:
    embeds, _ = embeds_for(kind, subject, clip_folder, face_models)
    images = []
    for number, scale in enumerate(SCALES):
        ours = generate(method_of(kind, scale=scale), subject, tmp_path / str(number), tiny_backbone)
        assert equal_up_to_rounding(ours, generate_with_diffusers(plain, file_of(kind), embeds, scale=scale))
        images.append(ours.tobytes())
    assert len(set(images)) == len(SCALES)


@pytest.mark.parametrize("shared_tiny_backbone", ["sd1"], indirect=True)
@pytest.mark.parametrize("kind", ["base", "plus", "faceid", "faceid-plusv2"])
def test_sequential_offload_gives_the_same_image(
    kind: str,
    tiny_backbone: Backbone,
    method_of: MakeMethod,
    file_of: Any,
    subject: Subject,
    tmp_path: Path,
) -> None:
    method, offloaded = method_of(kind, other_backbone=True), open_offloaded(tiny_backbone.spec)
    expected = generate(method, subject, tmp_path / "fit", tiny_backbone)
    with weights_off_the_gpu(offloaded):
        image = method.load(tmp_path / "fit", backbone=offloaded).generate([REQUEST])[0]
    assert image.tobytes() == expected.tobytes()
    assert offloaded.state.leftovers(offloaded.pipe) == []
    assert weights_beside_the_gpu(tiny_backbone, file_of(kind)) == []


@pytest.mark.parametrize("shared_tiny_backbone", ["sd1"], indirect=True)
def test_scale_of_a_block_that_the_backbone_does_not_have_is_refused(
    method_of: MakeMethod, tiny_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    with pytest.raises(MethodError, match=r"scale of up\.block_9; this backbone has "):
        generate(method_of("base", scale={"up": {"block_9": 1.0}}), subject, tmp_path / "a", tiny_backbone)
    with pytest.raises(MethodError, match=r"has 5 numbers; up\.block_1 has"):
        generate(
            method_of("base", scale={"up": {"block_1": [1.0] * 5}}), subject, tmp_path / "b", tiny_backbone
        )


def merged(unet: Any, lora: State) -> Any:
    """Add the LoRA's products to the U-Net's weights, by the published numbering."""
    for place, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("q", "k", "v", "out"):
            layer = attention.to_out[0] if part == "out" else getattr(attention, f"to_{part}")
            up, down = (lora[f"{place}.to_{part}_lora.{side}.weight"] for side in ("up", "down"))
            layer.weight.data += up @ down
    return unet


@pytest.mark.parametrize("shared_tiny_backbone", ["sd1"], indirect=True)
def test_faceid_lora_is_applied_to_the_published_layers(
    method_of: MakeMethod,
    tiny_backbone: Backbone,
    plain: Any,
    file_of: Any,
    subject: Subject,
    clip_folder: Path,
    face_models: Path,
    tmp_path: Path,
) -> None:
    checkpoint = read_adapter(file_of("faceid"))
    lora = {name: value for name, value in checkpoint.ip_adapter.items() if "_lora" in name}
    rest = {name: value for name, value in checkpoint.ip_adapter.items() if "_lora" not in name}
    write_parts(tmp_path / "bare.safetensors", dict(checkpoint.image_proj), rest)
    plain.unet = merged(copy.deepcopy(own := plain.unet), lora)
    embeds, _ = embeds_for("faceid", subject, clip_folder, face_models)
    expected = generate_with_diffusers(plain, tmp_path / "bare.safetensors", embeds)
    plain.unet = own
    ours = generate(method_of("faceid", scale=0.7), subject, tmp_path / "fit", tiny_backbone)
    assert equal_up_to_rounding(ours, expected)
    without = generate(
        method_of("faceid", scale=0.7, lora_scale=0.0), subject, tmp_path / "without", tiny_backbone
    )
    assert not equal_up_to_rounding(ours, without)
    bare = method_of("faceid", scale=0.7, adapter=str(tmp_path / "bare.safetensors"))
    assert equal_up_to_rounding(without, generate(bare, subject, tmp_path / "bare", tiny_backbone))


@pytest.mark.parametrize("shared_tiny_backbone", ["sd1"], indirect=True)
def test_class_images_have_the_lora_of_the_checkpoint_and_no_image_tokens(
    method_of: MakeMethod,
    tiny_backbone: Backbone,
    plain: Any,
    file_of: Any,
    subject: Subject,
    tmp_path: Path,
) -> None:
    lora = {k: v for k, v in read_adapter(file_of("faceid")).ip_adapter.items() if "_lora" in k}
    bare = run_pipeline(plain)
    plain.unet = merged(copy.deepcopy(own := plain.unet), lora)
    expected = run_pipeline(plain)
    plain.unet = own
    for scale, image in ((1.0, expected), (0.0, bare)):
        method, into = method_of("faceid", lora_scale=scale), tmp_path / str(scale)
        into.mkdir()
        method.fit(subject, into, backbone=tiny_backbone, seed=1)
        request = Request(PROMPT, REQUEST.seed)
        (ours,) = method.load(into, backbone=tiny_backbone).generate([request])
        assert equal_up_to_rounding(ours, image)
    assert not equal_up_to_rounding(expected, bare)
