"""Training an IP-Adapter: every backbone family, gradient accumulation, and validation on unseen people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import EMBEDDED_CLIP
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import read_adapter
from methods.ip_adapter.method import IPAdapter
from methods.ip_adapter.objective import Summary
from methods.ip_adapter.training import IPAdapterTraining, train_ip_adapter
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Schedule
from methods.recipes.adapters import make_adapter
from methods.recipes.workspace import TrainingWorkspace
from methods.subject import Request, Subject
from methods.trained_on import training_data_of

SCHEDULE = Schedule(steps=2, batch=4, learning_rate=1e-2, warm_up=1, decay_from=1.0, ema=0.5)
Train = Callable[..., Path]


def quiet(step: int, steps: int, line: str) -> None: ...


@pytest.fixture
def train(people: TrainingSet, clip_folder: Path, tmp_path: Path) -> Train:
    def train(
        backbone: Backbone,
        training: IPAdapterTraining,
        schedule: Schedule,
        name: str,
        unseen: TrainingSet | None = None,
    ) -> Path:
        out = tmp_path / name / "ip.safetensors"
        losses = train_ip_adapter(
            people,
            out,
            training=replace(training, encoder=clip_folder),
            backbone=backbone,
            schedule=schedule,
            work=tmp_path / name,
            progress=quiet,
            unseen=unseen,
        )
        assert set(losses) == ({"loss", "without"} if unseen else set())
        assert all(0 < loss < 10 for loss in losses.values())
        return out

    return train


@pytest.mark.parametrize(
    ("shared_family_backbone", "layout"),
    [("sd1", "plus"), ("sd2", "base"), ("sdxl", "base"), ("sdxl", "plus")],
    indirect=["shared_family_backbone"],
)
def test_adapter_trained_on_any_family_is_a_published_file_that_generates(
    layout: str,
    family_backbone: Backbone,
    train: Train,
    clip_folder: Path,
    subject: Subject,
    tmp_path: Path,
) -> None:
    training = IPAdapterTraining(layout, tokens=3, hidden=64, data_name="noise")  # type: ignore[arg-type]
    out = train(family_backbone, training, SCHEDULE, layout)
    checkpoint = read_adapter(out)
    assert (checkpoint.layout, checkpoint.cross_attention_dim) == (
        layout,
        family_backbone.attention.width,
    )
    assert json.loads(checkpoint.metadata["training"])["family"] == family_backbone.family
    assert training_data_of(out, "training", "data_name") == {"noise"}
    method = IPAdapter(adapter=str(out), encoder=str(clip_folder))
    assert method.trained_on == {"noise"}
    (tmp_path / "fit").mkdir()
    method.fit(subject, tmp_path / "fit", backbone=family_backbone, seed=1)
    person = method.load(tmp_path / "fit", backbone=family_backbone)
    named, other = person.generate([Request("a photo of {subject}", 3), Request("a photo of a woman", 3)])
    assert named.tobytes() != other.tobytes()
    assert family_backbone.state.leftovers(family_backbone.pipe) == []


def test_gradient_accumulation_gives_the_weights_of_the_whole_batch(backbone: Backbone, train: Train) -> None:
    training = IPAdapterTraining(tokens=3, hidden=64, condition="other", timestep_power=2.0)
    schedule = replace(SCHEDULE, precision="fp32", learning_rate=1e-3)
    whole = load_file(train(backbone, training, schedule, "whole"))
    accumulated = load_file(train(backbone, training, replace(schedule, accumulate=2), "accumulated"))
    start = load_file(train(backbone, training, replace(schedule, learning_rate=1e-9), "start"))
    change = max(float((whole[name] - start[name]).abs().max()) for name in whole)
    difference = max(float((whole[name] - accumulated[name]).abs().max()) for name in whole)
    assert difference < change / 10


def test_loss_curve_contains_the_loss_on_unseen_people(
    backbone: Backbone, people: TrainingSet, train: Train
) -> None:
    out = train(backbone, IPAdapterTraining(tokens=3, hidden=64), SCHEDULE, "curve", people)
    header, *lines = (out.parent / "ip.csv").read_text().splitlines()
    assert "loss, unseen people" in header
    assert len(lines) >= 1


def test_checkpoint_of_another_training_is_refused(backbone: Backbone, train: Train) -> None:
    train(backbone, IPAdapterTraining(tokens=3, hidden=64), SCHEDULE, "one")
    with pytest.raises(MethodError):
        train(backbone, IPAdapterTraining(tokens=3, hidden=64, condition="other"), SCHEDULE, "one")


@pytest.mark.parametrize("layout", ["plus", "base"])
def test_training_continues_from_a_published_file_and_records_it(
    layout: str, backbone: Backbone, train: Train
) -> None:
    first = IPAdapterTraining(layout, tokens=3, hidden=64, data_name="here")  # type: ignore[arg-type]
    start = train(backbone, first, SCHEDULE, "first")
    continued = replace(first, start=start, data_name="there")
    unchanged = train(backbone, continued, replace(SCHEDULE, steps=1, learning_rate=0.0), "unchanged")
    before, after = load_file(start), load_file(unchanged)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    metadata = json.loads(read_adapter(unchanged).metadata["training"])
    assert metadata["started_from"] == "ip.safetensors after 2 steps"
    assert training_data_of(unchanged, "training", "data_name") == {"here", "there"}


def test_summary_loss_decreases_in_training(backbone: Backbone, train: Train) -> None:
    plain = IPAdapterTraining(tokens=3, hidden=64)
    schedule = replace(SCHEDULE, steps=60, precision="fp32", learning_rate=5e-3)

    def losses(training: IPAdapterTraining, name: str) -> tuple[float, float]:
        out = train(backbone, training, schedule, name)
        first, *_, last = (out.parent / "ip.csv").read_text().splitlines()[1:]
        return float(first.split(",")[1]), float(last.split(",")[1])

    first, last = losses(replace(plain, summary_loss_weight=2.0), "summary")
    plain_first, plain_last = losses(plain, "plain")
    assert 1 < first - plain_first < 4
    assert last - plain_last < 0.7 * (first - plain_first)


def test_summary_is_the_standardised_class_token_and_mean_patch() -> None:
    patches = torch.randn(50, 5, 4, generator=torch.Generator().manual_seed(0)) * 3 + 7
    summary = Summary(patches, tokens=2, width=4)
    summaries = torch.cat([patches[:, 0], patches[:, 1:].mean(1)], 1)
    standardised = (summaries - summaries.mean(0)) / summaries.std(0)
    assert standardised.abs().max() < 4
    with torch.no_grad():
        summary.readout.bias.zero_()
        summary.readout.weight.copy_(torch.eye(8))
        assert summary(standardised.view(50, 2, 4), patches) < 1e-9
        assert summary(torch.zeros(50, 2, 4), patches).item() == pytest.approx(49 / 50, rel=1e-3)
        # Photographs in one sequence have the mean of their summaries.
        pairs = standardised.unflatten(0, (25, 2)).mean(1).view(25, 2, 4)
        assert summary(pairs, patches.view(25, 10, 4)) < 1e-9
        # The target is clamped to 4 deviations for any outlier, so the squared error is 16.
        assert summary(torch.zeros(1, 2, 4), torch.full((1, 5, 4), 1e6)).item() == pytest.approx(16)


def test_start_weights_of_another_shape_are_refused(backbone: Backbone, train: Train) -> None:
    three = train(backbone, IPAdapterTraining(tokens=3, hidden=64), SCHEDULE, "three")
    with pytest.raises(MethodError, match=r"latents is \(1, 3, 64\), this training's is \(1, 2, 64\)"):
        train(backbone, IPAdapterTraining(tokens=2, hidden=64, start=three), SCHEDULE, "two")
    with pytest.raises(MethodError, match="no such weights"):
        train(backbone, IPAdapterTraining(start=three.with_name("none")), SCHEDULE, "none")


def test_invalid_settings_are_refused() -> None:
    for wrong in (
        {"layout": "bas"},
        {"condition": "both"},
        {"hidden": 65},
        {"tokens": 0},
        {"timestep_power": 0.0},
        {"summary_loss_weight": -1.0},
        {"summary_loss_weight": 0.5, "layout": "base"},
        {"summary_loss_weight": 0.5, "layout": "double-blocks"},
    ):
        with pytest.raises(MethodError, match=f"{next(iter(wrong))} "):
            IPAdapterTraining(**wrong)  # type: ignore[arg-type]


def test_model_card_names_the_condition_and_the_command(
    people: TrainingSet, sd_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    weights, work = tmp_path / "weights", tmp_path / "work"
    workspace = TrainingWorkspace(people, people, weights, work, torch.device("cpu"), quiet)
    small = IPAdapterTraining(tokens=3, hidden=64, encoder=clip_folder)
    assert small.encoder != EMBEDDED_CLIP
    schedule = replace(SCHEDULE, steps=1)
    base, command = str(sd_folder), "bench train ip-adapter --condition other --tokens 3"
    own = make_adapter(workspace, schedule, small, base=base, command="", name="control")
    changed = replace(small, condition="other")
    other = make_adapter(workspace, schedule, changed, base=base, command=command)
    assert (own.name, other.stem) == ("control.safetensors", "ip-adapter-other-tokens-3-hidden-64")
    assert "as published: the control for leave-one-out" in own.with_suffix(".md").read_text()
    assert "--condition other --tokens 3" in other.with_suffix(".md").read_text()
    assert "loss on unseen people" in other.with_suffix(".md").read_text()
