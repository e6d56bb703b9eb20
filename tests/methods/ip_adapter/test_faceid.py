"""IP-Adapter-FaceID: image crops, missing faces, and checkpoints that do not fit."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_adapters import PUBLISHED, matrix, scene, write_checkpoint, write_parts

from methods.backbone.backbone import Backbone
from methods.catalog import make, self_contained
from methods.encoders.clip_vision import open_encoder
from methods.encoders.insightface_faces import open_faces
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import PublishedAdapter, read_adapter
from methods.ip_adapter.faceid import IPAdapterFaceID
from methods.ip_adapter.inference import FITTED, ImageFeatures
from methods.ip_adapter.method import IPAdapter
from methods.subject import Photo, Request, Subject

Settings = dict[str, dict[str, object]]
Write = Callable[[str], Path]
RED, PINK = (255, 200, 160), (255, 160, 220)


@pytest.fixture(scope="module")
def write(shared_backbone: Backbone, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write a checkpoint of a kind for the shared backbone."""
    folder = tmp_path_factory.mktemp("published")
    clip = open_encoder(clip_folder, shared_backbone.device).model
    return lambda kind: write_checkpoint(folder, kind, shared_backbone.pipe.unet, clip=clip)


@pytest.fixture
def faceid(settings: Settings) -> IPAdapterFaceID:
    method = make("ip-adapter-faceid", settings["ip-adapter-faceid"])
    assert isinstance(method, IPAdapterFaceID)
    return method


def subject_of(*images: Image.Image) -> Subject:
    return Subject(
        "ada", "woman", tuple(Photo(image, f"a photo of {{subject}}, {i}") for i, image in enumerate(images))
    )


def fit(method: Any, subject: Subject, into: Path, backbone: Backbone) -> ImageFeatures:
    into.mkdir()
    method.fit(subject, into, backbone=backbone, seed=1)
    return ImageFeatures.read(into)[0]


def generate(method: Any, subject: Subject, into: Path, backbone: Backbone) -> Image.Image:
    fit(method, subject, into, backbone)
    image: Image.Image = method.load(into, backbone=backbone).generate([Request("a photo of {subject}", 1)])[
        0
    ]
    return image


def test_error_names_the_photograph_without_a_face(
    faceid: IPAdapterFaceID, backbone: Backbone, tmp_path: Path
) -> None:
    dark = subject_of(scene((16, 24, RED)), scene())
    message = "ada: no face found in reference photo 2 ('a photo of {subject}, 1', 64 x 64)"
    assert str(faceid.unsupported_reason(dark)).startswith(message)
    assert replace(faceid, photos="first").unsupported_reason(dark) is None
    with pytest.raises(MethodError, match="no face found in reference photo 2"):
        faceid.fit(dark, tmp_path, backbone=backbone, seed=1)
    face_crop = IPAdapter(shown="face", faces=faceid.faces, detector_size=64)
    assert str(face_crop.unsupported_reason(dark)).startswith(message)
    assert IPAdapter().unsupported_reason(dark) is None


def test_only_the_largest_face_is_used_and_scaled_to_length_one(
    faceid: IPAdapterFaceID, backbone: Backbone, tmp_path: Path
) -> None:
    alone = fit(faceid, subject_of(scene((40, 32, RED))), tmp_path / "alone", backbone)
    crowd = fit(
        faceid, subject_of(scene((40, 32, RED), (8, 8, (200, 120, 120)))), tmp_path / "crowd", backbone
    )
    assert torch.equal(alone.photos, crowd.photos)
    assert alone.photos.shape == (1, 512)
    assert alone.photos.norm().item() == pytest.approx(1, abs=1e-6)
    assert not alone.nothing.any()


def test_mean_embedding_has_length_one_unless_normed_is_false(
    faceid: IPAdapterFaceID, backbone: Backbone, tmp_path: Path
) -> None:
    two = subject_of(scene((16, 24, (255, 90, 255))), scene((40, 32, (90, 255, 255))))
    separate = fit(faceid, two, tmp_path / "apart", backbone)
    mean = fit(replace(faceid, photos="mean"), two, tmp_path / "mean", backbone)
    assert separate.photos.shape == (2, 512)
    assert mean.photos.norm().item() == pytest.approx(1, abs=1e-6)
    assert torch.nn.functional.cosine_similarity(mean.photos, separate.photos.mean(0, keepdim=True)) > 0.9999
    raw = fit(replace(faceid, normed=False), two, tmp_path / "raw", backbone)
    faces = open_faces(Path(faceid.faces), 64).faces(two)
    assert torch.equal(raw.photos, torch.stack([face.embedding for face in faces]))
    with pytest.raises(MethodError, match="normed = false"):
        replace(faceid, adapter="ip-adapter-faceid-portrait_sdxl_unnorm.bin")


def test_setting_shown_selects_whole_image_centre_or_face(
    write: Write, clip_folder: Path, face_models: Path, backbone: Backbone, tmp_path: Path
) -> None:
    wide = Image.new("RGB", (96, 64))
    wide.paste(RED, (8, 8, 56, 56))
    own = {
        "adapter": str(write("plus")),
        "encoder": str(clip_folder),
        "faces": str(face_models),
        "detector_size": 64,
    }
    encoder = open_encoder(clip_folder, backbone.device)
    face = open_faces(face_models, 64).detect(wide)
    assert face is not None
    assert face.picture.size == (224, 224)
    crops = {"whole": wide, "centre": wide.crop((16, 0, 80, 64)), "face": face.picture}
    for shown, crop in crops.items():
        features = fit(
            make("ip-adapter", {**own, "shown": shown}), subject_of(wide), tmp_path / shown, backbone
        )
        expected = encoder.patches([crop])
        others = [encoder.patches([other]) for name, other in crops.items() if name != shown]
        distance = (features.photos.float() - expected).norm()
        assert all(distance < (features.photos.float() - other).norm() for other in others), shown


def test_conditioning_encoders_contain_arcface_and_clip(
    faceid: IPAdapterFaceID, write: Write, clip_folder: Path
) -> None:
    assert faceid.conditioning_encoders == {"arcface"}
    plus = replace(faceid, adapter=str(write("faceid-plus")), encoder=str(clip_folder))
    assert plus.conditioning_encoders == {"arcface", "clip", clip_folder.name}
    assert IPAdapter().conditioning_encoders == {"clip-embedded"}
    assert IPAdapter(encoder=str(clip_folder), shown="face").conditioning_encoders == {
        "clip",
        clip_folder.name,
    }
    assert {path.name for path in faceid.weights} >= {"det_tiny.onnx", "w_tiny.onnx", PUBLISHED["faceid"]}
    assert plus.required_files == {
        "adapter": Path(plus.adapter),
        "faces": Path(faceid.faces),
        "encoder": clip_folder,
    }


def test_plusv2_is_identified_by_file_name_or_setting_and_never_guessed(
    faceid: IPAdapterFaceID, write: Write, clip_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    subject = subject_of(scene((16, 24, RED)))
    shortcuts = {}
    renamed = tmp_path / "mine.bin"
    renamed.write_bytes(write("faceid-plus").read_bytes())
    for number, (file, shortcut) in enumerate(
        [(write("faceid-plus"), None), (write("faceid-plusv2"), None), (renamed, True), (renamed, False)]
    ):
        method = replace(faceid, adapter=str(file), encoder=str(clip_folder), shortcut=shortcut)
        into = tmp_path / str(number)
        fit(method, subject, into, backbone)
        shortcuts[file.name, shortcut] = method.load(into, backbone=backbone).shortcut
    assert list(shortcuts.values()) == [False, True, True, False]
    with pytest.raises(MethodError, match="shortcut = true for PlusV2"):
        replace(faceid, adapter=str(renamed), encoder=str(clip_folder)).fit(
            subject, tmp_path, backbone=backbone, seed=1
        )


def test_wrong_settings_for_a_checkpoint_are_refused_with_advice(
    faceid: IPAdapterFaceID, write: Write, clip_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    subject = subject_of(scene((16, 24, RED)))
    cases: list[tuple[Any, str]] = [
        (replace(faceid, adapter=str(write("faceid-plus"))), "set `encoder`"),
        (replace(faceid, encoder=str(clip_folder)), "leave `encoder` out"),
        (replace(faceid, adapter=str(write("base"))), "use the method ip-adapter"),
        (IPAdapter(adapter=faceid.adapter), "use the method ip-adapter-faceid"),
        (replace(faceid, faces=str(tmp_path)), "no insightface models"),
        (replace(faceid, faces="no-such-pack"), r"\.insightface/models/no-such-pack: no insightface models"),
    ]
    for method, message in cases:
        with pytest.raises(MethodError, match=message) as caught:
            method.fit(subject, tmp_path, backbone=backbone, seed=1)
        assert "\n" not in str(caught.value)
    with pytest.raises(MethodError, match="set `adapter` to a published FaceID checkpoint"):
        make("ip-adapter-faceid")
    assert "ip-adapter-faceid" not in self_contained()


def test_unreadable_insightface_models_give_a_one_line_error(face_models: Path, tmp_path: Path) -> None:
    for content, message in ((b"", "finds no detector"), (b"junk" * 50, "finds no detector")):
        (tmp_path / "det.onnx").write_bytes(content)
        with pytest.raises(MethodError, match=message):
            open_faces.__wrapped__(tmp_path, 64)
    (tmp_path / "det.onnx").write_bytes((face_models / "det_tiny.onnx").read_bytes())
    with pytest.raises(MethodError, match="no recognition model"):
        open_faces.__wrapped__(tmp_path, 64)


def parts(checkpoint: PublishedAdapter) -> tuple[dict[str, Any], dict[str, Any]]:
    return dict(checkpoint.image_proj), dict(checkpoint.ip_adapter)


def test_unexpected_and_missing_tensors_are_refused(
    write: Write, clip_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    image_proj, ip_adapter = parts(read_adapter(write("plus")))
    deeper = {
        name.replace("layers.3.", "layers.4."): v.clone()
        for name, v in image_proj.items()
        if "layers.3." in name
    }
    extra = {**ip_adapter, **matrix("99.to_k_ip", 16, 32)}
    missing = {name: value for name, value in ip_adapter.items() if not name.startswith("1.")}
    for name, changed, message in (
        ("deep", ({**image_proj, **deeper}, ip_adapter), "layout plus has"),
        ("extra", (image_proj, extra), "cross-attention layers, this backbone has"),
        ("missing", (image_proj, missing), "such as 1.to_k_ip.weight"),
    ):
        file = tmp_path / f"{name}.safetensors"
        write_parts(file, *changed)
        method = IPAdapter(adapter=str(file), encoder=str(clip_folder))
        with pytest.raises(MethodError, match=message):
            generate(method, subject_of(scene((16, 24, RED))), tmp_path / name, backbone)
        assert backbone.state.leftovers(backbone.pipe) == []


def test_bin_and_safetensors_give_the_same_adapter(write: Write, tmp_path: Path) -> None:
    stored = read_adapter(write("faceid"))
    write_parts(tmp_path / "same.safetensors", *parts(stored))
    other = read_adapter(tmp_path / "same.safetensors")
    assert (stored.layout, stored.has_lora) == (other.layout, other.has_lora)
    assert stored.cross_attention_dim == other.cross_attention_dim
    for part in ("image_proj", "ip_adapter"):
        ours, theirs = getattr(stored, part), getattr(other, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_bin_files_are_never_unpickled(tmp_path: Path) -> None:
    torch.save({"image_proj": Malicious(tmp_path / "made"), "ip_adapter": {}}, tmp_path / "malicious.bin")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Malicious(tmp_path / "made"), protocol=2))
    for name in ("malicious.bin", "plain.bin"):
        with pytest.raises(MethodError, match="read without unpickling") as caught:
            read_adapter(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_missing_fit_gives_an_error_with_advice(
    faceid: IPAdapterFaceID, backbone: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(MethodError, match=f"no {FITTED}; fit the person again"):
        faceid.load(tmp_path, backbone=backbone)
