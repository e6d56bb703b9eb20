"""Training leave-one-out: pieces, processes and interruptions change nothing; the file says what it is."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.leave_one_out.method import LeaveOneOut
from methods.leave_one_out.network import read_config
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.loop import PeriodicEvaluation, Schedule, optimize
from methods.recipes.adapters import default_name, make_adapter
from methods.recipes.workspace import TrainingWorkspace
from methods.subject import Request, Subject

import distributed_training  # isort: skip

SCHEDULE = Schedule(
    steps=4, batch=8, learning_rate=4e-3, warm_up=1, decay_from=1.0, ema=0.8, precision="fp32"
)

Train = Callable[..., None]


def quiet(step: int, steps: int, line: str) -> None: ...


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features are computed once for all trainings of this module, as a user's are."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def train(people: TrainingSet, backbone: Backbone, clip_folder: Path, work: Path) -> Train:
    def train(out: Path, schedule: Schedule = SCHEDULE, **settings: object) -> None:
        training = LeaveOneOutTraining(
            aggregator=str(settings.pop("aggregator", "attention")),
            objective=Objective(**{"largest_set": 3, **settings}),  # type: ignore[arg-type]
            tokens=3,
            hidden=64,
            encoder=clip_folder,
            validate_every=2,
            data_name="noise",
        )
        train_leave_one_out(
            people,
            out,
            training=training,
            backbone=backbone,
            schedule=schedule,
            work=work,
            progress=quiet,
            unseen=people,
        )

    return train


def curve_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def assert_alike(one: Path, other: Path, *, atol: float) -> None:
    wanted, got = load_file(one), load_file(other)
    assert wanted.keys() == got.keys()
    for name in wanted:
        assert torch.allclose(wanted[name].float(), got[name].float(), atol=atol), name


def test_a_batch_in_pieces_is_the_batch_as_a_whole(train: Train, tmp_path: Path) -> None:
    whole, pieces, other = (tmp_path / f"{name}.safetensors" for name in ("whole", "pieces", "other"))
    train(whole)
    train(pieces, replace(SCHEDULE, accumulate=4))
    train(other, replace(SCHEDULE, seed=1))
    assert_alike(whole, pieces, atol=2e-3)
    with pytest.raises(AssertionError):
        assert_alike(whole, other, atol=2e-3)


def test_a_batch_that_cannot_be_parted_evenly_is_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="multiple of 3"):
        train(tmp_path / "three.safetensors", replace(SCHEDULE, accumulate=3))


@pytest.mark.slow
def test_two_processes_learn_what_one_does(
    people: TrainingSet, sd_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """Each works on half of every batch; weights and curve are those of one process with all of it."""
    np.savez(tmp_path / "people.npz", pixels=people.pixels, identities=people.identities)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = (str(sd_folder), str(clip_folder), str(tmp_path / "people.npz"))
    team = [start(rank, port, [*given, str(tmp_path / "two.safetensors"), str(tmp_path)]) for rank in (0, 1)]
    said = [process.communicate(timeout=300)[0] for process in team]
    assert [process.returncode for process in team] == [0, 0], said
    assert ["loss" in text for text in said] == [True, False], "only the first process speaks"
    distributed_training.train(*given, str(tmp_path / "one.safetensors"), str(tmp_path))
    assert_alike(tmp_path / "one.safetensors", tmp_path / "two.safetensors", atol=1e-3)
    curves = [curve_of(tmp_path / f"{name}.csv") for name in ("one", "two")]
    assert [row["step"] for row in curves[0]] == [row["step"] for row in curves[1]] == ["1", "2", "4"]
    for one, two in zip(*curves, strict=True):
        assert float(one["loss"]) == pytest.approx(float(two["loss"]), rel=1e-3)


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MethodError, match="accelerate launch"):
        DistributedGroup.here()


def start(rank: int, port: int, arguments: list[str]) -> subprocess.Popen[str]:
    """One process of two, with the environment that `accelerate launch --cpu` gives it."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    launched = {key: str(value) for key, value in numbers.items()}
    launched |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(distributed_training.__file__), *arguments],
        env={**os.environ, **launched, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_interrupted_training_goes_on_with_the_same_curve(tmp_path: Path) -> None:
    def trained(name: str, *stops: int) -> tuple[list[dict[str, float]], torch.Tensor]:
        for stop in stops:
            torch.manual_seed(0)
            layer = torch.nn.Linear(3, 3)

            def loss(step: int, generator: torch.Generator, rows: slice) -> torch.Tensor:
                x = torch.randn(8, 3, generator=generator)[rows]
                return (layer(x) - x.flip(1)).square().mean()  # noqa: B023  # the layer of this round

            curve = optimize(
                layer,
                loss,
                replace(SCHEDULE, steps=120, learning_rate=1e-2, ema=0.9),
                checkpoint=TrainingCheckpoint(tmp_path / f"{name}.pt"),
                progress=quiet,
                device=torch.device("cpu"),
                evaluation=PeriodicEvaluation(30, lambda: {"weight": layer.weight.sum().item()}),  # noqa: B023
                stop_at=stop,
            )
        return curve, layer.weight

    straight, resumed = trained("straight", 120), trained("resumed", 37, 38, 120)
    assert straight[0] == resumed[0]
    assert torch.equal(straight[1], resumed[1])
    assert [point["step"] for point in straight[0]] == [1, 30, 50, 60, 90, 100, 120]
    assert straight[0][-1]["loss"] < 0.5 * straight[0][0]["loss"]
    # What is measured is what will be kept: the average.
    assert straight[0][-1]["weight"] == pytest.approx(straight[1].sum().item())


def test_a_checkpoint_of_an_earlier_version_is_taken_up(tmp_path: Path) -> None:
    """Without curve, scaler and what it was made for, as version 0.1.0 wrote it."""
    layer = torch.nn.Linear(2, 2, bias=False)

    def go(steps: int) -> None:
        optimize(
            layer,
            lambda step, generator, rows: layer.weight.square().sum(),
            replace(SCHEDULE, steps=steps),
            checkpoint=TrainingCheckpoint(tmp_path / "old.pt", {"aggregator": "mean"}),
            progress=quiet,
            device=torch.device("cpu"),
        )

    go(3)
    stored = torch.load(tmp_path / "old.pt", weights_only=True)
    kept = ("step", "seconds", "parameters", "optimizer", "average")
    torch.save({key: stored[key] for key in kept}, tmp_path / "old.pt")
    with torch.no_grad():
        layer.weight.fill_(9)
    go(3)
    assert torch.equal(layer.weight, stored["average"][0])


def test_a_checkpoint_of_another_training_is_refused(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "same.safetensors", replace(SCHEDULE, steps=1))
    with pytest.raises(MethodError, match="made with noising held-out, asked for aggregate"):
        train(tmp_path / "same.safetensors", replace(SCHEDULE, steps=1), noising="aggregate")
    with pytest.raises(MethodError, match="made with batch 8, asked for 4"):
        train(tmp_path / "same.safetensors", replace(SCHEDULE, steps=1, batch=4))


def test_the_loss_on_unseen_people_is_told_while_it_trains(train: Train, work: Path, tmp_path: Path) -> None:
    train(tmp_path / "told.safetensors")
    curve = [row for row in curve_of(work / "told.csv") if row["loss, unseen people"]]
    assert [row["step"] for row in curve] == ["2", "4"]
    first, last = (float(row["loss, unseen people"]) for row in curve)
    without = {row["without, unseen people"] for row in curve}
    assert len(without) == 1, "the backbone's own loss does not change"
    assert first != last


def test_training_starts_at_the_backbone_s_own_loss(train: Train, work: Path, tmp_path: Path) -> None:
    train(tmp_path / "zero.safetensors", replace(SCHEDULE, steps=1, learning_rate=0.0))
    row = curve_of(work / "zero.csv")[0]
    assert float(row["loss, unseen people"]) == pytest.approx(float(row["without, unseen people"]), rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_lower_precision_learns_nearly_the_same(
    precision: str, train: Train, work: Path, tmp_path: Path
) -> None:
    for name in ("fp32", precision):
        train(tmp_path / f"as-{name}.safetensors", replace(SCHEDULE, precision=name))  # type: ignore[arg-type]
    losses = [float(curve_of(work / f"as-{name}.csv")[-1]["loss"]) for name in ("fp32", precision)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    "settings",
    [{"leave_out": False}, {"captions": "blank"}, {"noising": "aggregate"}, {"timestep_power": 2.5}],
)
def test_every_ablation_trains_and_the_file_says_so(
    settings: dict[str, object], train: Train, backbone: Backbone, tmp_path: Path
) -> None:
    out = tmp_path / f"{next(iter(settings))}.safetensors"
    train(out, replace(SCHEDULE, steps=1), aggregator="caption-attention", **settings)
    config = read_config(out)
    assert {name: getattr(config, name) for name in settings} == settings
    assert (config.family, config.backbone) == (backbone.family, backbone.digest)
    assert (config.smallest_set, config.largest_set, config.tokens) == (1, 3, 3)
    assert (config.training_data, config.training_people) == ("noise", 6)


def test_a_network_without_captions_is_told_none(
    train: Train, backbone: Backbone, clip_folder: Path, subject: Subject, tmp_path: Path
) -> None:
    """Two subjects that differ in their captions alone come out the same."""
    out = tmp_path / "unread.safetensors"
    train(
        out, replace(SCHEDULE, steps=1, learning_rate=0.1), aggregator="caption-attention", captions="blank"
    )
    method = LeaveOneOut("caption-attention", network=str(out), encoder=str(clip_folder), tune_steps=2)
    other = replace(subject, references=tuple(replace(p, caption="{subject}") for p in subject.references))
    told = []
    for name, person in (("own", subject), ("other", other)):
        (tmp_path / name).mkdir()
        method.fit(person, tmp_path / name, backbone=backbone, seed=1)
        told.append(method.load(tmp_path / name, backbone=backbone))
    prompts = ("a photo of a woman", "a woman wearing a red shirt")
    gathered = [person.gather(prompt).tokens for person in told for prompt in prompts]
    assert all(torch.equal(gathered[0], tokens) for tokens in gathered[1:])


def test_every_family_of_backbones_is_trained_tuned_and_drawn_with(
    family_backbone: Backbone, people: TrainingSet, clip_folder: Path, subject: Subject, tmp_path: Path
) -> None:
    """The conditioning that each layout asks for flows through objective, tuning and method."""
    out = tmp_path / "loo.safetensors"
    losses = train_leave_one_out(
        people,
        out,
        training=LeaveOneOutTraining(
            "caption-attention", Objective(largest_set=2), tokens=2, hidden=64, encoder=clip_folder
        ),
        backbone=family_backbone,
        schedule=replace(SCHEDULE, steps=3, learning_rate=1e-1),
        work=tmp_path,
        progress=quiet,
        unseen=people,
    )
    assert losses["loss"] != losses["without"]
    assert read_config(out).family == family_backbone.family
    pictures = []
    for steps in (0, 2):
        into = tmp_path / f"tuned-{steps}"
        into.mkdir()
        method = LeaveOneOut(
            "caption-attention", network=str(out), encoder=str(clip_folder), tune_steps=steps, tune_rate=0.1
        )
        method.fit(subject, into, backbone=family_backbone, seed=1)
        person = method.load(into, backbone=family_backbone)
        pictures.append(person.generate([Request("a photo of {subject}", 1)])[0].tobytes())
    plain = family_backbone.generate(["a photo of a woman"], [1])[0].tobytes()
    assert len({plain, *pictures}) == 3
    assert family_backbone.state.leftovers(family_backbone.pipe) == []


def test_the_command_writes_weights_with_a_card_that_names_the_command(
    people: TrainingSet, sd_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    workspace = TrainingWorkspace(people, people, tmp_path, tmp_path / "work", torch.device("cpu"), quiet)
    training = LeaveOneOutTraining(
        "mean", Objective(leave_out=False, largest_set=1), tokens=2, hidden=64, encoder=clip_folder
    )
    command = "bench train loo --aggregator mean --no-leave-out --largest-set 1"
    out = make_adapter(workspace, replace(SCHEDULE, steps=1), training, base=str(sd_folder), command=command)
    assert out.stem == default_name(training)
    card = out.with_suffix(".md").read_text()
    assert f"Made by `{command}`." in card
    assert "loss on unseen people" in card
