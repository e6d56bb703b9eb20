"""Leave-one-out on Stable Diffusion 3 and FLUX.1: training, tuning, guidance, order of photographs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_transformers import FlowFolders, spec_of
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.leave_one_out.aggregators import AGGREGATORS
from methods.leave_one_out.method import LeaveOneOut
from methods.leave_one_out.network import LeaveOneOutNetwork, NetworkConfig, read_config
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out
from methods.pretraining.loop import Schedule
from methods.subject import Request, Subject

SCHEDULE = Schedule(steps=30, batch=8, learning_rate=5e-3, warm_up=1, decay_from=1.0, ema=0.5)
REQUESTS = [Request("a photo of {subject}", 3), Request("a photo of {subject}, smiling", 4)]


def silent(*_: object) -> None:
    pass


def trained(
    people: Any, backbone: Backbone, clip: Path, folder: Path, schedule: Schedule = SCHEDULE, **objective: Any
) -> tuple[Path, Mapping[str, float]]:
    folder.mkdir(exist_ok=True)
    out = folder / "loo.safetensors"
    training = LeaveOneOutTraining(
        "caption-attention", Objective(largest_set=2, **objective), tokens=2, hidden=64, encoder=clip
    )
    losses = train_leave_one_out(
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


def images_of(method: LeaveOneOut, subject: Subject, backbone: Backbone, folder: Path) -> list[bytes]:
    folder.mkdir()
    method.fit(subject, folder, backbone=backbone, seed=0)
    return [image.tobytes() for image in method.load(folder, backbone=backbone).generate(REQUESTS)]


def test_training_lowers_the_loss_and_its_file_is_used_and_tuned(
    flow_backbone: Backbone, people: Any, clip_folder: Path, subject: Subject, tmp_path: Path
) -> None:
    out, losses = trained(people, flow_backbone, clip_folder, tmp_path)
    begun = replace(SCHEDULE, steps=1, learning_rate=1e-9)
    _, start = trained(people, flow_backbone, clip_folder, tmp_path / "begun", begun)
    assert start["loss"] == pytest.approx(start["without"], rel=1e-5), "starts at the backbone's loss"
    assert losses["without"] == start["without"]
    assert losses["loss"] < 0.97 * losses["without"]
    config = read_config(out)
    assert (config.family, config.backbone, config.width) == (flow_backbone.family, flow_backbone.digest, 64)
    method = LeaveOneOut("caption-attention", network=str(out), encoder=str(clip_folder))
    tuned = replace(method, tune_steps=2, tune_rate=0.01)
    pictures = [
        images_of(each, subject, flow_backbone, tmp_path / name)
        for name, each in (("as-trained", method), ("tuned", tuned), ("off", replace(method, scale=0.0)))
    ]
    plain = flow_backbone.generate(
        [request.prompt("a woman") for request in REQUESTS], [request.seed for request in REQUESTS]
    )
    assert pictures[2] == [image.tobytes() for image in plain]
    assert len({images[0] for images in pictures}) == 3
    assert flow_backbone.state.leftovers(flow_backbone.pipe) == []


@pytest.mark.parametrize(
    "settings", [{"noising": "aggregate"}, {"timestep_power": 3.0}, {"captions": "blank", "leave_out": False}]
)
def test_every_ablation_trains_with_rectified_flow(
    settings: dict[str, Any], flow_folders: FlowFolders, people: Any, clip_folder: Path, tmp_path: Path
) -> None:
    short = replace(SCHEDULE, steps=2)
    backbone = flow_folders.backbone("sd3")
    _, losses = trained(people, backbone, clip_folder, tmp_path, short, **settings)
    assert losses["loss"] != losses["without"]


def test_gradient_checkpointing_learns_the_same_in_half_precision(
    flow_backbone: Backbone, people: Any, clip_folder: Path, tmp_path: Path
) -> None:
    """On a CPU the forward pass has an attention kernel of its own, which its repetition must have too."""
    short = replace(SCHEDULE, steps=2, batch=4, precision="bf16")
    stored = []
    for checkpointing in (False, True):
        schedule = replace(short, gradient_checkpointing=checkpointing)
        out, _ = trained(people, flow_backbone, clip_folder, tmp_path / str(checkpointing), schedule)
        stored.append(load_file(out))
    plain, checkpointed = stored
    assert plain.keys() == checkpointed.keys()
    assert all(torch.equal(plain[name], checkpointed[name]) for name in plain)


def test_without_t5_and_its_tokens(
    flow_folders: FlowFolders, people: Any, clip_folder: Path, subject: Subject, tmp_path: Path
) -> None:
    spec = spec_of(flow_folders["sd3"], t5=False, max_sequence_length=0)
    backbone = Backbone.open(spec)
    out, _ = trained(people, backbone, clip_folder, tmp_path, replace(SCHEDULE, steps=2))
    method = LeaveOneOut("caption-attention", network=str(out), encoder=str(clip_folder))
    guided = images_of(method, subject, backbone, tmp_path / "guided")
    unguided = images_of(method, subject, backbone.guided(1.0), tmp_path / "unguided")
    assert guided != unguided


def network_of(name: str, backbone: Backbone) -> LeaveOneOutNetwork:
    """A network with random weights, the adapter's values not zero."""
    features = backbone.encode_text(["a man"])
    attention = backbone.adapter_attention
    config = NetworkConfig(
        name, 16, features.pooled.shape[1], attention.token_width, tokens=2, hidden=64, shortcut=True
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LeaveOneOutNetwork(config, attention).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", AGGREGATORS)
def test_order_of_photographs_and_absent_ones_change_nothing(name: str, flow_backbone: Backbone) -> None:
    network = network_of(name, flow_backbone)
    generator = torch.Generator().manual_seed(0)
    text = flow_backbone.encode_text(["a photo of a man", "a dog"])
    patches = torch.randn(2, 3, 5, 16, generator=generator)
    captions = torch.randn(2, 3, text.pooled.shape[1], generator=generator)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    x, t = torch.randn(2, 16, 8, 8, generator=generator), torch.tensor([100.0, 800.0])

    def predict(order: list[int], patches: Tensor) -> Tensor:
        tokens = network.tokens_of(patches[:, order])
        image = network.aggregate(tokens, captions[:, order], text.pooled, mask[:, order])
        with network.adapter.attached(flow_backbone.adapter_attention, scale=1.0) as slot:
            slot.fill(image)
            return flow_backbone.predict(x, t, flow_backbone.conditioning(text))

    with flow_backbone.clean():
        expected = predict([0, 1, 2], patches)
        assert torch.allclose(predict([2, 0, 1], patches), expected, atol=1e-4)
        absent = patches.clone()
        absent[1, 2] = 9.0
        assert torch.equal(predict([0, 1, 2], absent), expected)
        absent[0, 2] = 9.0
        assert not torch.allclose(predict([0, 1, 2], absent)[0], expected[0], atol=1e-4)


def test_true_guidance_of_flux_has_each_pass_its_own_tokens(
    flow_folders: FlowFolders, people: Any, clip_folder: Path, subject: Subject, tmp_path: Path
) -> None:
    backbone = Backbone.open(spec_of(flow_folders["flux"], true_cfg_scale=3.0, negative_prompt="blurry"))
    out, _ = trained(people, backbone, clip_folder, tmp_path, replace(SCHEDULE, steps=1))
    method = LeaveOneOut("caption-attention", network=str(out), encoder=str(clip_folder))
    (tmp_path / "fit").mkdir()
    method.fit(subject, tmp_path / "fit", backbone=backbone, seed=0)
    person = method.load(tmp_path / "fit", backbone=backbone)
    negative, seen = backbone.encode_text(["blurry"]).tokens[0], []

    def record(module: Any, arguments: tuple[Tensor]) -> None:
        image = person.network.adapter.slot.image
        assert image is not None
        seen.append(
            (torch.equal(arguments[0][0], negative), torch.equal(image.tokens[0], person.network.nothing[0]))
        )

    with backbone.clean():
        hook = backbone.network.context_embedder.register_forward_pre_hook(record)
        person.generate(REQUESTS[:1])
        hook.remove()
    assert seen == [(False, False), (True, True)] * 2


def test_half_precision_generates_and_tunes(
    flow_backbone: Backbone,
    flow_folders: FlowFolders,
    people: Any,
    clip_folder: Path,
    subject: Subject,
    tmp_path: Path,
) -> None:
    out, _ = trained(people, flow_backbone, clip_folder, tmp_path, replace(SCHEDULE, steps=2))
    half = Backbone.open(spec_of(flow_folders[flow_backbone.family], dtype="bf16"))
    method = LeaveOneOut("caption-attention", network=str(out), encoder=str(clip_folder), tune_rate=0.1)
    pictures = [
        images_of(replace(method, **settings), subject, half, tmp_path / name)
        for name, settings in (("on", {}), ("off", {"scale": 0.0}), ("tuned", {"tune_steps": 1}))
    ]
    assert len({images[0] for images in pictures}) == 3
    assert half.state.leftovers(half.pipe) == []


def test_a_transformer_without_such_layers_is_refused_in_one_line(
    flow_folders: FlowFolders, people: Any, clip_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(MethodError, match="Flux2Klein has no layers for image tokens") as caught:
        trained(people, flow_folders.backbone("flux2"), clip_folder, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
