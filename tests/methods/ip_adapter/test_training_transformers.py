"""Training of an IP-Adapter for transformers, in the layouts that diffusers loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_transformers import FLOW_FAMILIES, FlowFolders

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import read_adapter
from methods.ip_adapter.method import IPAdapter
from methods.ip_adapter.objective import IPAdapterTraining, draw_batch
from methods.ip_adapter.training import new_adapter, save_adapter, train_ip_adapter
from methods.pretraining.features import TrainingFeatures
from methods.pretraining.loop import Schedule
from methods.subject import Request, Subject

SCHEDULE = Schedule(steps=30, batch=8, learning_rate=5e-3, warm_up=1, decay_from=1.0, ema=0.5)


TRAININGS = {
    "sd3": IPAdapterTraining(layout="time-resampler", tokens=3, hidden=64),
    "flux": IPAdapterTraining(layout="double-blocks", tokens=4),
}


@pytest.fixture(params=FLOW_FAMILIES)
def backbone(request: pytest.FixtureRequest, flow_folders: FlowFolders) -> Backbone:
    return flow_folders.backbone(request.param)


@pytest.fixture
def training(backbone: Backbone, clip_folder: Path) -> IPAdapterTraining:
    return replace(TRAININGS[backbone.family], encoder=clip_folder)


def silent(*_: object) -> None:
    pass


def trained(
    training: IPAdapterTraining, people: Any, backbone: Backbone, folder: Path, schedule: Schedule = SCHEDULE
) -> tuple[Path, Mapping[str, float]]:
    folder.mkdir(exist_ok=True)
    out = folder / "ip-adapter.safetensors"
    losses = train_ip_adapter(
        people,
        out,
        training=training,
        backbone=backbone,
        schedule=schedule,
        work=folder,
        progress=silent,
        unseen=people,
    )
    return out, losses


def test_trained_file_is_used_by_the_method_and_lowers_the_loss(
    training: IPAdapterTraining,
    people: Any,
    subject: Subject,
    backbone: Backbone,
    clip_folder: Path,
    tmp_path: Path,
) -> None:
    out, losses = trained(training, people, backbone, tmp_path)
    assert backbone.state.leftovers(backbone.pipe) == []
    untrained = new_adapter(training, backbone, open_encoder(clip_folder, backbone.device))
    start = tmp_path / "start.safetensors"
    save_adapter(start, untrained.published(), {})
    assert load_file(out).keys() == load_file(start).keys()
    (tmp_path / "fit").mkdir()
    method = IPAdapter(str(out), str(clip_folder))
    method.fit(subject, tmp_path / "fit", backbone=backbone, seed=0)
    request = Request("a photo of {subject}", 3)
    (image,) = method.load(tmp_path / "fit", backbone=backbone).generate([request])
    (other,) = (
        replace(method, adapter=str(start), other_backbone=True)
        .load(tmp_path / "fit", backbone=backbone)
        .generate([request])
    )
    assert image.tobytes() != other.tobytes()
    begun = replace(SCHEDULE, steps=1, learning_rate=1e-9)
    _, start_losses = trained(training, people, backbone, tmp_path / "begun", begun)
    assert losses["without"] == pytest.approx(start_losses["without"])
    assert losses["loss"] < 0.98 * start_losses["loss"]


@pytest.mark.parametrize("condition", ["self", "others"])
def test_summary_loss_also_teaches_the_resampler_that_reads_the_timestep(
    condition: Any, people: Any, flow_folders: FlowFolders, clip_folder: Path, tmp_path: Path
) -> None:
    plain = replace(TRAININGS["sd3"], encoder=clip_folder, condition=condition)

    def losses(weight: float) -> tuple[float, float]:
        training = replace(plain, summary_loss_weight=weight)
        out, _ = trained(training, people, flow_folders.backbone("sd3"), tmp_path / str(weight))
        first, *_, last = (out.parent / f"{out.stem}.csv").read_text().splitlines()[1:]
        return float(first.split(",")[1]), float(last.split(",")[1])

    (first, last), (plain_first, plain_last) = losses(2.0), losses(0.0)
    assert 1 < first - plain_first < 4
    assert last - plain_last < 0.8 * (first - plain_first)


def test_trained_modules_compute_what_the_loaded_file_computes(
    training: IPAdapterTraining, backbone: Backbone, clip_folder: Path, tmp_path: Path
) -> None:
    encoder = open_encoder(clip_folder, backbone.device)
    generator = torch.Generator().manual_seed(0)
    adapter = new_adapter(training, backbone, encoder)
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(0.2 * torch.randn(value.shape, generator=generator))
    # In half precision as in the file.
    adapter.half().float()
    attention = backbone.adapter_attention
    x = torch.randn(2, 16, 8, 8, generator=generator)
    width = encoder.embedding_width if training.reads_embeddings else encoder.width
    images = torch.randn(2, 5, width, generator=generator)
    arguments = attention.with_images(backbone.conditioning(backbone.encode_text(["a dog", "a man"])), images)
    t = torch.tensor([300.0, 900.0])
    with backbone.clean(), torch.no_grad():
        adapter.attach(attention)
        own = backbone.predict(x, t, arguments)
        adapter.set_scale(0.0)
        without = backbone.predict(x, t, arguments)
        adapter.set_scale(1.0)
        backbone.restore()
    save_adapter(tmp_path / "a.safetensors", adapter.published(), {})
    stored = read_adapter(tmp_path / "a.safetensors")
    parts = {"image_proj": stored.image_proj, "ip_adapter": stored.ip_adapter}
    with backbone.clean(), torch.no_grad():
        attention.load_ip_adapter(parts)
        attention.set_scale(1.0)
        loaded = backbone.predict(x, t, arguments)
        attention.unload_ip_adapter()
    assert torch.allclose(own, loaded, atol=1e-4)
    assert not torch.allclose(own, without, atol=1e-3)
    again = new_adapter(training, backbone, encoder)
    again.load_matching_weights(stored)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), adapter.parameters(), strict=True))


@pytest.mark.parametrize("layout", ["plus", "base"])
def test_layout_of_another_family_is_refused(
    layout: str, training: IPAdapterTraining, backbone: Backbone, clip_folder: Path
) -> None:
    encoder = open_encoder(clip_folder, backbone.device)
    own = TRAININGS[backbone.family].layout
    with pytest.raises(MethodError, match=f"family {backbone.family}; use {own}") as caught:
        new_adapter(replace(training, layout=layout), backbone, encoder)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_layouts_of_transformers_are_refused_for_a_u_net(
    training: IPAdapterTraining, shared_backbone: Backbone, clip_folder: Path
) -> None:
    encoder = open_encoder(clip_folder, shared_backbone.device)
    with pytest.raises(MethodError, match="use base or plus"):
        new_adapter(training, shared_backbone, encoder)


@pytest.mark.parametrize("tokens", [8, 16])
def test_number_of_tokens_that_diffusers_does_not_read_is_refused(
    tokens: int, flow_folders: FlowFolders, clip_folder: Path
) -> None:
    backbone = flow_folders.backbone("flux")
    encoder = open_encoder(clip_folder, backbone.device)
    with pytest.raises(MethodError, match=f"tokens {tokens} of width 72, .* set tokens to 4"):
        new_adapter(replace(TRAININGS["flux"], tokens=tokens), backbone, encoder)


def test_untrained_adapter_for_flux_has_no_effect(
    people: Any, flow_folders: FlowFolders, clip_folder: Path, tmp_path: Path
) -> None:
    """As in XLabs' own code."""
    training, backbone = replace(TRAININGS["flux"], encoder=clip_folder), flow_folders.backbone("flux")
    begun = replace(SCHEDULE, steps=1, learning_rate=1e-12)
    _, losses = trained(training, people, backbone, tmp_path, begun)
    assert losses["loss"] == pytest.approx(losses["without"], abs=1e-6)


def numbered_features() -> TrainingFeatures:
    """Three people with 2, 4 and 8 photographs, whose features are the number of the photograph."""
    identities = torch.tensor([0] * 2 + [1] * 4 + [2] * 8)
    numbers = torch.arange(14.0)
    return TrainingFeatures(
        latents=numbers.view(-1, 1, 1, 1, 1).expand(-1, 2, 1, 1, 1),
        patches=numbers.view(-1, 1, 1, 1).expand(-1, 2, 2, 3),
        sentences=torch.zeros(2, 4, 5),
        pooled=torch.zeros(2, 5),
        captions=torch.ones(14, 2, 1, dtype=torch.long),
        embeds=None,
        nothing=torch.zeros(2, 3),
        order=torch.arange(14),
        start=torch.tensor([0, 2, 6]),
        count=torch.bincount(identities),
    )


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_condition_others_leaves_the_target_out(training: IPAdapterTraining) -> None:
    features, device = numbered_features(), torch.device("cpu")
    person_of = [0] * 2 + [1] * 4 + [2] * 8
    others = replace(training, condition="others", drop_image=0.0, drop_text=0.0, drop_both=0.0)
    if training.reads_embeddings:
        features = replace(features, embeds=features.patches[:, :, 0])
    # Patch tokens of all photographs are one sequence.
    each = 1 if training.reads_embeddings else features.patches.shape[2]
    sizes = set()
    for seed in range(40):
        batch = draw_batch(features, others, 6, torch.Generator().manual_seed(seed), device)
        assert batch.images.shape[1] % each == 0
        sizes.add(batch.images.shape[1] // each)
        for target, images in zip(batch.latents.flatten().tolist(), batch.images, strict=True):
            shown = images[::each, 0].tolist()
            assert target not in shown
            assert len(set(shown)) == len(shown)
            assert {person_of[int(number)] for number in shown} == {person_of[int(target)]}
    assert sizes == {1, 2, 3, 4, 5, 6}


def test_condition_others_needs_a_layout_of_sets() -> None:
    with pytest.raises(MethodError, match="condition others with layout plus"):
        IPAdapterTraining(condition="others", layout="plus")


def test_backbone_in_half_precision_is_trained_on(
    training: IPAdapterTraining,
    people: Any,
    backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("methods.compute.precision._has_bf16", lambda device: True)
    half = Backbone.open(replace(backbone.spec, dtype="bf16"))
    short = replace(SCHEDULE, steps=2, batch=2)
    out, losses = trained(training, people, half, tmp_path, short)
    assert read_adapter(out).metadata["backbone"] == backbone.digest
    assert 0 < losses["loss"] < 10


def test_leave_one_out_is_trained_in_the_published_layout(
    training: IPAdapterTraining, people: Any, backbone: Backbone, tmp_path: Path
) -> None:
    others, short = replace(training, condition="others"), replace(SCHEDULE, steps=2)
    out, _ = trained(others, people, backbone, tmp_path / "others", short)
    control, _ = trained(training, people, backbone, tmp_path / "self", short)
    assert load_file(out).keys() == load_file(control).keys()
    assert '"condition": "others"' in read_adapter(out).metadata["training"]
