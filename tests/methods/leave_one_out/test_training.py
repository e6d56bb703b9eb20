"""Training leave-one-out: gradient accumulation, several processes, resuming, metadata and model card."""

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
    """One folder for all trainings of this module, so that features are computed once."""
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


def read_curve(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def assert_equal_weights(first: Path, second: Path, *, atol: float) -> None:
    expected, found = load_file(first), load_file(second)
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.allclose(expected[name].float(), found[name].float(), atol=atol), name


def test_gradient_accumulation_gives_the_weights_of_the_whole_batch(train: Train, tmp_path: Path) -> None:
    whole, accumulated, other = (
        tmp_path / f"{name}.safetensors" for name in ("whole", "accumulated", "other")
    )
    train(whole)
    train(accumulated, replace(SCHEDULE, accumulate=4))
    train(other, replace(SCHEDULE, seed=1))
    assert_equal_weights(whole, accumulated, atol=2e-3)
    with pytest.raises(AssertionError):
        assert_equal_weights(whole, other, atol=2e-3)


def test_gradient_checkpointing_learns_the_same(train: Train, tmp_path: Path) -> None:
    plain, checkpointed = (tmp_path / f"{name}.safetensors" for name in ("plain", "checkpointed"))
    train(plain, SCHEDULE)
    train(checkpointed, replace(SCHEDULE, gradient_checkpointing=True))
    assert_equal_weights(plain, checkpointed, atol=2e-3)


def test_batch_not_divisible_by_accumulate_is_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="multiple of 3"):
        train(tmp_path / "three.safetensors", replace(SCHEDULE, accumulate=3))


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(
    people: TrainingSet, sd_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """Each process trains on half of every batch; weights and curve equal those of one process."""
    np.savez(tmp_path / "people.npz", pixels=people.pixels, identities=people.identities)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (str(sd_folder), str(clip_folder), str(tmp_path / "people.npz"))
    processes = [
        start(rank, port, [*arguments, str(tmp_path / "two.safetensors"), str(tmp_path)]) for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert ["loss" in text for text in outputs] == [True, False], "only the main process logs"
    distributed_training.train(*arguments, str(tmp_path / "one.safetensors"), str(tmp_path))
    assert_equal_weights(tmp_path / "one.safetensors", tmp_path / "two.safetensors", atol=1e-3)
    curves = [read_curve(tmp_path / f"{name}.csv") for name in ("one", "two")]
    assert [row["step"] for row in curves[0]] == [row["step"] for row in curves[1]] == ["1", "2", "4"]
    for one, two in zip(*curves, strict=True):
        assert float(one["loss"]) == pytest.approx(float(two["loss"]), rel=1e-3)


def test_several_processes_without_accelerate_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MethodError, match="accelerate launch"):
        DistributedGroup.current()


def start(rank: int, port: int, arguments: list[str]) -> subprocess.Popen[str]:
    """Start one of two processes with the environment of `accelerate launch --cpu`."""
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    environment = {key: str(value) for key, value in ranks.items()}
    environment |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(distributed_training.__file__), *arguments],
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_resumed_training_gives_the_same_curve_and_weights(tmp_path: Path) -> None:
    def trained(name: str, *stops: int) -> tuple[list[dict[str, float]], torch.Tensor]:
        for stop in stops:
            torch.manual_seed(0)
            layer = torch.nn.Linear(3, 3)

            def loss(step: int, generator: torch.Generator, rows: slice) -> torch.Tensor:
                x = torch.randn(8, 3, generator=generator)[rows]
                return (layer(x) - x.flip(1)).square().mean()  # noqa: B023  # called within this iteration

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

    uninterrupted, resumed = trained("uninterrupted", 120), trained("resumed", 37, 38, 120)
    assert uninterrupted[0] == resumed[0]
    assert torch.equal(uninterrupted[1], resumed[1])
    assert [point["step"] for point in uninterrupted[0]] == [1, 30, 50, 60, 90, 100, 120]
    assert uninterrupted[0][-1]["loss"] < 0.5 * uninterrupted[0][0]["loss"]
    # The evaluated weights are the saved ones: the moving average.
    assert uninterrupted[0][-1]["weight"] == pytest.approx(uninterrupted[1].sum().item())


def test_checkpoint_of_version_0_1_is_resumed(tmp_path: Path) -> None:
    """Version 0.1.0 wrote no curve, scaler and settings."""
    layer = torch.nn.Linear(2, 2, bias=False)

    def train(steps: int) -> None:
        optimize(
            layer,
            lambda step, generator, rows: layer.weight.square().sum(),
            replace(SCHEDULE, steps=steps),
            checkpoint=TrainingCheckpoint(tmp_path / "old.pt", {"aggregator": "mean"}),
            progress=quiet,
            device=torch.device("cpu"),
        )

    train(3)
    stored = torch.load(tmp_path / "old.pt", weights_only=True)
    keys = ("step", "seconds", "parameters", "optimizer", "average")
    torch.save({key: stored[key] for key in keys}, tmp_path / "old.pt")
    with torch.no_grad():
        layer.weight.fill_(9)
    train(3)
    assert torch.equal(layer.weight, stored["average"][0])


def test_checkpoint_of_another_training_is_refused(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "same.safetensors", replace(SCHEDULE, steps=1))
    with pytest.raises(MethodError, match="made with noising held-out, asked for aggregate"):
        train(tmp_path / "same.safetensors", replace(SCHEDULE, steps=1), noising="aggregate")
    with pytest.raises(MethodError, match="made with batch 8, asked for 4"):
        train(tmp_path / "same.safetensors", replace(SCHEDULE, steps=1, batch=4))


def test_curve_contains_the_loss_on_unseen_people(train: Train, work: Path, tmp_path: Path) -> None:
    train(tmp_path / "watched.safetensors")
    curve = [row for row in read_curve(work / "watched.csv") if row["loss, unseen people"]]
    assert [row["step"] for row in curve] == ["2", "4"]
    first, last = (float(row["loss, unseen people"]) for row in curve)
    without = {row["without, unseen people"] for row in curve}
    assert len(without) == 1, "the backbone's own loss does not change"
    assert first != last


def test_training_starts_at_the_loss_of_the_backbone(train: Train, work: Path, tmp_path: Path) -> None:
    train(tmp_path / "zero.safetensors", replace(SCHEDULE, steps=1, learning_rate=0.0))
    row = read_curve(work / "zero.csv")[0]
    assert float(row["loss, unseen people"]) == pytest.approx(float(row["without, unseen people"]), rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_gives_nearly_the_same_loss(
    precision: str, train: Train, work: Path, tmp_path: Path
) -> None:
    for name in ("fp32", precision):
        train(tmp_path / f"as-{name}.safetensors", replace(SCHEDULE, precision=name))  # type: ignore[arg-type]
    losses = [float(read_curve(work / f"as-{name}.csv")[-1]["loss"]) for name in ("fp32", precision)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    "settings",
    [{"leave_out": False}, {"captions": "blank"}, {"noising": "aggregate"}, {"timestep_power": 2.5}],
)
def test_every_ablation_is_recorded_in_the_file(
    settings: dict[str, object], train: Train, backbone: Backbone, tmp_path: Path
) -> None:
    out = tmp_path / f"{next(iter(settings))}.safetensors"
    train(out, replace(SCHEDULE, steps=1), aggregator="caption-attention", **settings)
    config = read_config(out)
    assert {name: getattr(config, name) for name in settings} == settings
    assert (config.family, config.backbone) == (backbone.family, backbone.digest)
    assert (config.smallest_set, config.largest_set, config.tokens) == (1, 3, 3)
    assert (config.training_data, config.training_people) == ("noise", 6)


def test_network_trained_without_captions_ignores_captions_and_prompts(
    train: Train, backbone: Backbone, clip_folder: Path, subject: Subject, tmp_path: Path
) -> None:
    """Subjects that differ only in their captions give the same tokens."""
    out = tmp_path / "blank.safetensors"
    train(
        out, replace(SCHEDULE, steps=1, learning_rate=0.1), aggregator="caption-attention", captions="blank"
    )
    method = LeaveOneOut("caption-attention", network=str(out), encoder=str(clip_folder), tune_steps=2)
    other = replace(subject, references=tuple(replace(p, caption="{subject}") for p in subject.references))
    fitted = []
    for name, person in (("own", subject), ("other", other)):
        (tmp_path / name).mkdir()
        method.fit(person, tmp_path / name, backbone=backbone, seed=1)
        fitted.append(method.load(tmp_path / name, backbone=backbone))
    prompts = ("a photo of a woman", "a woman wearing a red shirt")
    aggregated = [person.aggregate(prompt).tokens for person in fitted for prompt in prompts]
    assert all(torch.equal(aggregated[0], tokens) for tokens in aggregated[1:])


def test_every_backbone_family_trains_tunes_and_generates(
    family_backbone: Backbone, people: TrainingSet, clip_folder: Path, subject: Subject, tmp_path: Path
) -> None:
    """Objective, tuning and method pass on the conditioning inputs of each family."""
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
    images = []
    for steps in (0, 2):
        into = tmp_path / f"tuned-{steps}"
        into.mkdir()
        method = LeaveOneOut(
            "caption-attention", network=str(out), encoder=str(clip_folder), tune_steps=steps, tune_rate=0.1
        )
        method.fit(subject, into, backbone=family_backbone, seed=1)
        person = method.load(into, backbone=family_backbone)
        images.append(person.generate([Request("a photo of {subject}", 1)])[0].tobytes())
    plain = family_backbone.generate(["a photo of a woman"], [1])[0].tobytes()
    assert len({plain, *images}) == 3
    assert family_backbone.state.leftovers(family_backbone.pipe) == []


def test_model_card_names_the_training_command(
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
