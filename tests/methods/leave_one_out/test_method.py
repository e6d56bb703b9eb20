"""The leave-one-out method: generation, refused inputs and tuning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from methods.backbone.attention.token_layers import ImageTokens, guidance_batch
from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.catalog import make
from methods.compute.seeding import seeded_generator
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.leave_one_out.method import LeaveOneOut
from methods.leave_one_out.network import LeaveOneOutNetwork, load_network, save_network
from methods.leave_one_out.objective import Objective, draw_batch, leave_one_out_loss
from methods.leave_one_out.tuning import Tuning, person_features, tune
from methods.subject import Request, Subject

Settings = dict[str, dict[str, object]]
REQUEST = Request("a photo of {subject}, smiling", 3)


def method_of(settings: Settings, name: str = "mean", **changes: object) -> LeaveOneOut:
    method = (
        make(f"loo-{name}", {**settings[f"loo-{name}"], **changes}) if name in ("mean", "attention") else None
    )
    return (
        method if isinstance(method, LeaveOneOut) else LeaveOneOut(**{**settings[f"loo-{name}"], **changes})
    )  # type: ignore[arg-type]


def network_of(settings: Settings, backbone: Backbone, name: str = "mean") -> LeaveOneOutNetwork:
    return load_network(method_of(settings, name).file, backbone.attention)


def test_guidance_batch_has_unconditional_rows_first_and_is_padded() -> None:
    both = guidance_batch(ImageTokens(torch.zeros(2, 3, 4), None), ImageTokens(torch.ones(2, 6, 4), None))
    assert both.tokens.shape == (4, 6, 4)
    assert both.mask is not None
    assert both.mask.sum(1).tolist() == [3, 3, 6, 6]
    assert (
        guidance_batch(ImageTokens(torch.zeros(2, 3, 4), None), ImageTokens(torch.ones(2, 3, 4), None)).mask
        is None
    )


def test_adapter_with_scale_zero_gives_the_backbone_image(settings: Settings, backbone: Backbone) -> None:
    network = network_of(settings, backbone)
    expected = backbone.generate(["a photo of a man"], [1])[0].tobytes()
    with backbone.clean(), network.adapter.attached(backbone.attention, scale=0.0) as slot:
        slot.fill(ImageTokens(torch.ones(4, 3, backbone.attention.width), None))
        assert backbone.generate(["a photo of a man"], [1])[0].tobytes() == expected


@pytest.mark.parametrize("name", ["max", "median", "deep-sets", "concat", "caption-attention"])
def test_every_aggregator_generates(
    name: str, settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = method_of(settings, name)
    method.fit(subject, tmp_path, backbone=backbone, seed=1)
    person = method.load(tmp_path, backbone=backbone)
    images = person.generate([REQUEST, replace(REQUEST, template="{subject}"), REQUEST])
    assert images[0].tobytes() == images[2].tobytes() != images[1].tobytes()


def test_tuned_network_is_saved_with_the_fit(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("plain", "tuned")]
    images = []
    for folder, steps in zip(folders, (0, 3), strict=True):
        folder.mkdir()
        method = method_of(settings, tune_steps=steps, tune_rate=1e-2)
        method.fit(subject, folder, backbone=backbone, seed=1)
        assert backbone.state.leftovers(backbone.pipe) == []
        images.append(method.load(folder, backbone=backbone).generate([REQUEST])[0].tobytes())
    assert images[0] != images[1]
    assert {path.name for path in folders[1].iterdir()} == {"photos.safetensors", "network.safetensors"}
    assert {path.name for path in folders[0].iterdir()} == {"photos.safetensors"}


def test_tuning_lowers_the_loss_on_the_reference_photographs(
    settings: Settings, subject: Subject, clip_folder: Path, backbone: Backbone
) -> None:
    network = network_of(settings, backbone, "attention")
    images = [photo.image for photo in subject.references]
    sentences = [photo.caption.replace("{subject}", subject.phrase) for photo in subject.references]
    patches = open_encoder(clip_folder, backbone.device).patches(images)
    latents = backbone.encode_images(images)
    features = person_features(backbone, patches=patches, latents=latents, sentences=sentences)
    batch = draw_batch(features, Objective(), backbone.noise, 32, seeded_generator(5), backbone.device)

    def loss() -> float:
        with torch.no_grad(), network.adapter.attached(backbone.attention, scale=1.0):
            return leave_one_out_loss(network, batch, backbone, "held-out").mean().item()

    before, tuning = loss(), Tuning(steps=15, learning_rate=1e-2, batch=8)
    tune(network, tuning, backbone, patches=patches, latents=latents, sentences=sentences, seed=1)
    assert loss() < 0.98 * before


@pytest.mark.parametrize("native_bf16", [True, False])
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_tuning_learns_on_a_half_precision_backbone(
    dtype: Literal["fp16", "bf16"],
    native_bf16: bool,
    settings: Settings,
    subject: Subject,
    sd_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With and without hardware that multiplies bf16."""
    monkeypatch.setattr("methods.compute.precision._has_bf16", lambda device: native_bf16)
    half = Backbone.open(
        BackboneSpec(path=str(sd_folder), steps=2, guidance=3.0, batch=2, device="cpu", dtype=dtype)
    )
    method = method_of(settings, tune_steps=8, tune_rate=1e-2)
    method.fit(subject, tmp_path, backbone=half, seed=1)
    tuned = load_network(tmp_path / "network.safetensors", half.attention)
    before = network_of(settings, half).state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in tuned.state_dict().items())


def test_setting_photos_uses_only_the_first_photographs(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    two = replace(subject, references=subject.references[:2])
    stored = []
    for name, person, changes in (("set", subject, {"photos": 2}), ("own", two, {}), ("all", subject, {})):
        (tmp_path / name).mkdir()
        method_of(settings, **changes).fit(person, tmp_path / name, backbone=backbone, seed=1)
        stored.append((tmp_path / name / "photos.safetensors").read_bytes())
    assert stored[0] == stored[1] != stored[2]
    assert method_of(settings, photos=3).unsupported_reason(subject) is None
    assert "photos = 4" in (method_of(settings, photos=4).unsupported_reason(subject) or "")
    assert "needs 2" in (method_of(settings, photos=1, tune_steps=5).unsupported_reason(subject) or "")


def test_scale_changes_the_image_and_zero_gives_the_backbone_image(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    def generate(scale: float) -> bytes:
        method = method_of(settings, scale=scale)
        return method.load(tmp_path, backbone=backbone).generate([REQUEST])[0].tobytes()

    method_of(settings).fit(subject, tmp_path, backbone=backbone, seed=1)
    plain = backbone.generate(["a photo of a woman, smiling"], [REQUEST.seed])[0].tobytes()
    assert generate(0) == plain
    assert len({plain, generate(0.5), generate(1.0)}) == 3


def test_tuning_needs_two_photographs(settings: Settings, subject: Subject) -> None:
    one = Subject("ada", "woman", subject.references[:1])
    assert method_of(settings).unsupported_reason(one) is None
    assert "needs 2" in (method_of(settings, tune_steps=5).unsupported_reason(one) or "")


def test_weights_of_another_backbone_encoder_or_aggregator_are_refused(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    network = network_of(settings, backbone)
    file = tmp_path / "other.safetensors"

    def error_message(**config: object) -> str:
        save_network(file, network, replace(network.config, **config), dtype=torch.float32)  # type: ignore[arg-type]
        with pytest.raises(MethodError) as caught:
            method_of(settings, network=str(file)).fit(subject, tmp_path, backbone=backbone, seed=1)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "trained with backbone 123" in error_message(backbone="123")
    assert "trained with image encoder" in error_message(encoder_digest="123")
    assert "weights of 'max'" in error_message(aggregator="max")
    assert "99 wide" in error_message(width=99)
    file.write_bytes(b"nothing")
    with pytest.raises(MethodError, match="not a safetensors file"):
        method_of(settings, network=str(file)).fit(subject, tmp_path, backbone=backbone, seed=1)


@pytest.mark.parametrize(
    "wrong", [{"aggregator": "men"}, {"photos": -1}, {"tune_batch": 0}, {"scale": "much"}]
)
def test_invalid_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MethodError):
        LeaveOneOut(**wrong)  # type: ignore[arg-type]
