"""The method around the network: what it draws, what it refuses, how it is tuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods.backbone.backbone import Backbone
from methods.catalog import make
from methods.compute.seeding import generator_of
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.leave_one_out.aggregators import AggregatedTokens
from methods.leave_one_out.cross_attention import guided
from methods.leave_one_out.method import LeaveOneOut
from methods.leave_one_out.network import LeaveOneOutNetwork, load_network, save_network
from methods.leave_one_out.objective import Objective, draw_batch, leave_one_out_loss
from methods.leave_one_out.tuning import Tuning, features_of, tune
from methods.subject import Request, Subject

Settings = dict[str, dict[str, object]]
ASKED = Request("a photo of {subject}, smiling", 3)


def method_of(settings: Settings, name: str = "mean", **more: object) -> LeaveOneOut:
    method = (
        make(f"loo-{name}", {**settings[f"loo-{name}"], **more}) if name in ("mean", "attention") else None
    )
    return method if isinstance(method, LeaveOneOut) else LeaveOneOut(**{**settings[f"loo-{name}"], **more})  # type: ignore[arg-type]


def network_of(settings: Settings, backbone: Backbone, name: str = "mean") -> LeaveOneOutNetwork:
    return load_network(method_of(settings, name).file, backbone.unet, width=backbone.cross_attention_dim)


def test_guidance_puts_nothing_before_the_person_and_pads_what_is_shorter() -> None:
    both = guided(AggregatedTokens(torch.zeros(2, 3, 4), None), AggregatedTokens(torch.ones(2, 6, 4), None))
    assert both.tokens.shape == (4, 6, 4)
    assert both.keep is not None
    assert both.keep.sum(1).tolist() == [3, 3, 6, 6]
    assert (
        guided(AggregatedTokens(torch.zeros(2, 3, 4), None), AggregatedTokens(torch.ones(2, 3, 4), None)).keep
        is None
    )


def test_without_image_tokens_the_adapter_is_the_backbone(settings: Settings, backbone: Backbone) -> None:
    network = network_of(settings, backbone)
    wanted = backbone.generate(["a photo of a man"], [1])[0].tobytes()
    with backbone.clean(), network.adapter.on(backbone.unet, scale=0.0) as slot:
        slot.gathered = AggregatedTokens(torch.ones(4, 3, backbone.cross_attention_dim), None)
        assert backbone.generate(["a photo of a man"], [1])[0].tobytes() == wanted


@pytest.mark.parametrize("name", ["max", "median", "deep-sets", "concat", "caption-attention"])
def test_every_aggregator_draws(
    name: str, settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = method_of(settings, name)
    method.fit(subject, tmp_path, backbone=backbone, seed=1)
    person = method.load(tmp_path, backbone=backbone)
    pictures = person.generate([ASKED, replace(ASKED, template="{subject}"), ASKED])
    assert pictures[0].tobytes() == pictures[2].tobytes() != pictures[1].tobytes()


def test_tuning_changes_the_network_and_stays_with_the_person(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("plain", "tuned")]
    drawn = []
    for folder, steps in zip(folders, (0, 3), strict=True):
        folder.mkdir()
        method = method_of(settings, tune_steps=steps, tune_rate=1e-2)
        method.fit(subject, folder, backbone=backbone, seed=1)
        assert backbone.state.leftovers(backbone.pipe) == []
        drawn.append(method.load(folder, backbone=backbone).generate([ASKED])[0].tobytes())
    assert drawn[0] != drawn[1]
    assert {path.name for path in folders[1].iterdir()} == {"photos.safetensors", "network.safetensors"}
    assert {path.name for path in folders[0].iterdir()} == {"photos.safetensors"}


def test_tuning_lowers_the_leave_one_out_loss_on_the_person_s_own_photographs(
    settings: Settings, subject: Subject, clip_folder: Path, backbone: Backbone
) -> None:
    network = network_of(settings, backbone, "attention")
    images = [photo.image for photo in subject.references]
    sentences = [photo.caption.replace("{subject}", subject.phrase) for photo in subject.references]
    patches = open_encoder(clip_folder, backbone.device).patches(images)
    latents = backbone.encode_images(images)
    features = features_of(backbone, patches=patches, latents=latents, sentences=sentences)
    batch = draw_batch(features, Objective(), backbone.noise, 32, generator_of(5), backbone.device)

    def loss() -> float:
        with torch.no_grad(), network.adapter.on(backbone.unet, scale=1.0):
            return leave_one_out_loss(network, batch, backbone, "held-out").mean().item()

    before, tuning = loss(), Tuning(steps=15, learning_rate=1e-2, batch=8)
    tune(network, tuning, backbone, patches=patches, latents=latents, sentences=sentences, seed=1)
    assert loss() < 0.98 * before


def test_only_the_first_photographs_are_shown_where_so_many_are_asked_for(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    two = replace(subject, references=subject.references[:2])
    stored = []
    for name, person, more in (("set", subject, {"photos": 2}), ("own", two, {}), ("all", subject, {})):
        (tmp_path / name).mkdir()
        method_of(settings, **more).fit(person, tmp_path / name, backbone=backbone, seed=1)
        stored.append((tmp_path / name / "photos.safetensors").read_bytes())
    assert stored[0] == stored[1] != stored[2]
    assert method_of(settings, photos=3).unsupported_reason(subject) is None
    assert "photos = 4" in (method_of(settings, photos=4).unsupported_reason(subject) or "")
    assert "needs 2" in (method_of(settings, photos=1, tune_steps=5).unsupported_reason(subject) or "")


def test_the_scale_weighs_the_photographs_and_zero_is_the_backbone(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    def drawn(scale: float) -> bytes:
        method = method_of(settings, scale=scale)
        return method.load(tmp_path, backbone=backbone).generate([ASKED])[0].tobytes()

    method_of(settings).fit(subject, tmp_path, backbone=backbone, seed=1)
    plain = backbone.generate(["a photo of a woman, smiling"], [ASKED.seed])[0].tobytes()
    assert drawn(0) == plain
    assert len({plain, drawn(0.5), drawn(1.0)}) == 3


def test_tuning_needs_a_photograph_to_leave_out(settings: Settings, subject: Subject) -> None:
    one = Subject("ada", "woman", subject.references[:1])
    assert method_of(settings).unsupported_reason(one) is None
    assert "needs 2" in (method_of(settings, tune_steps=5).unsupported_reason(one) or "")


def test_weights_that_do_not_belong_are_refused(
    settings: Settings, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    network = network_of(settings, backbone)
    file = tmp_path / "other.safetensors"

    def refusal(**config: object) -> str:
        save_network(file, network, replace(network.config, **config), dtype=torch.float32)  # type: ignore[arg-type]
        with pytest.raises(MethodError) as caught:
            method_of(settings, network=str(file)).fit(subject, tmp_path, backbone=backbone, seed=1)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "trained with backbone 123" in refusal(backbone="123")
    assert "trained with image encoder" in refusal(encoder_digest="123")
    assert "weights of 'max'" in refusal(aggregator="max")
    assert "99 wide" in refusal(width=99)
    file.write_bytes(b"nothing")
    with pytest.raises(MethodError, match="not a safetensors file"):
        method_of(settings, network=str(file)).fit(subject, tmp_path, backbone=backbone, seed=1)


@pytest.mark.parametrize(
    "wrong", [{"aggregator": "men"}, {"photos": -1}, {"tune_batch": 0}, {"scale": "much"}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MethodError):
        LeaveOneOut(**wrong)  # type: ignore[arg-type]
