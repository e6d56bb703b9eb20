"""Training on a tiny pipeline: the loss falls, resuming changes nothing, files contain their settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.ip_adapter.method import adapted, read_adapter
from methods.ip_adapter.training import IPAdapterTraining, ip_adapter_loss, train_ip_adapter
from methods.ip_adapter.training import draw_batch as draw_ip_batch
from methods.ip_adapter.training import validation_losses as ip_validation_losses
from methods.leave_one_out.network import load_network, read_config
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out, validation_losses
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.features import TrainingFeatures, training_features
from methods.pretraining.loop import Progress, Schedule

# The learning rate is constant, so an interrupted run has taken the same first steps as a longer one.
SCHEDULE = Schedule(steps=40, batch=8, learning_rate=4e-3, warm_up=3, decay_from=1.0, ema=0.8)

Train = Callable[[Path, Schedule], None]


def quiet(step: int, steps: int, line: str) -> None: ...


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One work folder for the module, so that features are computed once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def features(people: TrainingSet, backbone: Backbone, clip_folder: Path, work: Path) -> TrainingFeatures:
    encoder = open_encoder(clip_folder, backbone.device)
    return training_features(people, work, backbone=backbone, encoder=encoder, progress=quiet)


@pytest.fixture
def train_loo(people: TrainingSet, backbone: Backbone, clip_folder: Path, work: Path) -> Train:
    def train(
        out: Path, schedule: Schedule, aggregator: str = "attention", start: Path | None = None
    ) -> None:
        training = LeaveOneOutTraining(
            aggregator,
            Objective(largest_set=3),
            tokens=3,
            hidden=64,
            encoder=clip_folder,
            start=start,
            shortcut=True,
            data_name="noise",
        )
        train_leave_one_out(
            people, out, training=training, backbone=backbone, schedule=schedule, work=work, progress=quiet
        )

    return train


@pytest.fixture
def train_ip(people: TrainingSet, backbone: Backbone, clip_folder: Path, work: Path) -> Train:
    def train(out: Path, schedule: Schedule) -> None:
        training = IPAdapterTraining(
            condition="other", tokens=3, hidden=64, encoder=clip_folder, data_name="noise"
        )
        train_ip_adapter(
            people, out, training=training, backbone=backbone, schedule=schedule, work=work, progress=quiet
        )

    return train


@pytest.fixture
def train_base(people: TrainingSet, backbone: Backbone, clip_folder: Path, work: Path) -> Train:
    def train(out: Path, schedule: Schedule) -> None:
        training = IPAdapterTraining("base", encoder=clip_folder)
        train_ip_adapter(
            people, out, training=training, backbone=backbone, schedule=schedule, work=work, progress=quiet
        )

    return train


@pytest.fixture(params=["train_loo", "train_ip", "train_base"])
def train(request: pytest.FixtureRequest) -> Train:
    chosen: Train = request.getfixturevalue(request.param)
    return chosen


def test_leave_one_out_training_lowers_the_loss(
    train_loo: Train, features: TrainingFeatures, backbone: Backbone, tmp_path: Path
) -> None:
    def loss(steps: int) -> float:
        out = tmp_path / f"loo-{steps}.safetensors"
        train_loo(out, replace(SCHEDULE, steps=steps))
        network = load_network(out, backbone.attention)
        objective = Objective(largest_set=3)
        return validation_losses(network, features, objective, backbone=backbone, batches=1)["loss"]

    assert loss(40) < 0.98 * loss(1)


def test_validation_in_pieces_has_the_same_samples(
    train_loo: Train, features: TrainingFeatures, backbone: Backbone, tmp_path: Path
) -> None:
    """`accumulate` saves memory in the validation, too."""
    train_loo(tmp_path / "loo.safetensors", replace(SCHEDULE, steps=5))
    network = load_network(tmp_path / "loo.safetensors", backbone.attention)
    adapter = IPAdapterTraining(condition="other", tokens=3, hidden=64)
    rows: list[int] = []
    seen = backbone.network.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))

    def losses(rows_at_once: int | None) -> list[float]:
        pair = {"backbone": backbone, "batches": 2, "rows_at_once": rows_at_once}
        loo = validation_losses(network, features, Objective(largest_set=3), **pair)
        ip = ip_validation_losses(lambda _: None, features, adapter, **pair, size=10)
        return [*loo.values(), *ip.values()]

    try:
        whole = losses(None)
        most = max(rows)
        rows.clear()
        assert losses(3) == pytest.approx(whole, rel=2e-3)
    finally:
        seen.remove()
    assert max(rows) == 3 < most
    assert replace(SCHEDULE, batch=8, accumulate=4).rows_at_once == 2
    assert SCHEDULE.rows_at_once is None


def test_ip_adapter_training_lowers_the_loss(
    train_ip: Train, features: TrainingFeatures, backbone: Backbone, tmp_path: Path
) -> None:
    training = IPAdapterTraining(condition="other", drop_image=0, drop_text=0, drop_both=0)
    batch = draw_ip_batch(features, training, 64, torch.Generator().manual_seed(0), backbone.device)
    t = backbone.noise.sample_timesteps(64, torch.Generator().manual_seed(1))
    eps = torch.randn(batch[0].shape, generator=torch.Generator().manual_seed(2))

    def loss(steps: int) -> float:
        out = tmp_path / f"ip-{steps}.safetensors"
        train_ip(out, replace(SCHEDULE, steps=steps))
        with torch.no_grad(), backbone.clean(), adapted(backbone, read_adapter(out), scale=1.0):
            return float(ip_adapter_loss(batch, backbone, t=t, eps=eps))

    assert loss(40) < 0.98 * loss(1)


def test_base_adapter_has_one_linear_layer_to_four_tokens_and_loads_in_diffusers(
    train_base: Train, backbone: Backbone, tmp_path: Path
) -> None:
    out = tmp_path / "base.safetensors"
    train_base(out, replace(SCHEDULE, steps=2))
    state = load_file(out)
    assert state["image_proj.proj.weight"].shape == (4 * backbone.attention.width, 12)
    with backbone.clean(), adapted(backbone, read_adapter(out), scale=1.0), torch.no_grad():
        tokens = backbone.pipe.unet.encoder_hid_proj([torch.ones(1, 2, 12)])[0]
    assert tokens.shape == (1, 2, 4, backbone.attention.width)


def test_interrupted_training_ends_with_the_same_weights(train: Train, work: Path, tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight.safetensors", tmp_path / "resumed.safetensors"
    for stem in ("straight", "resumed"):
        (work / f"{stem}.pt").unlink(missing_ok=True)
    train(straight, replace(SCHEDULE, steps=5))
    train(resumed, replace(SCHEDULE, steps=2))
    halfway = load_file(resumed)
    train(resumed, replace(SCHEDULE, steps=5))
    expected, got = load_file(straight), load_file(resumed)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert any(not torch.equal(halfway[name], got[name]) for name in got)


def test_training_changes_neither_backbone_nor_global_random_state(
    train: Train, backbone: Backbone, tmp_path: Path
) -> None:
    before = torch.random.get_rng_state()
    train(tmp_path / f"{tmp_path.name}.safetensors", replace(SCHEDULE, steps=1))
    assert backbone.state.leftovers(backbone.pipe) == []
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_contain_the_settings_of_their_training(
    train_loo: Train, train_ip: Train, backbone: Backbone, clip_folder: Path, tmp_path: Path
) -> None:
    train_loo(tmp_path / "loo.safetensors", replace(SCHEDULE, steps=1))
    config = read_config(tmp_path / "loo.safetensors")
    assert (config.aggregator, config.noising, config.training_data) == ("attention", "held-out", "noise")
    assert (config.backbone, config.encoder) == (backbone.digest, clip_folder.name)
    train_ip(tmp_path / "ip.safetensors", replace(SCHEDULE, steps=1))
    with safe_open(tmp_path / "ip.safetensors", "pt") as stored:
        metadata = stored.metadata()
    assert metadata["backbone"] == backbone.digest
    assert json.loads(metadata["training"])["condition"] == "other"


def test_aggregator_starts_from_the_weights_of_another_and_records_it(
    train_loo: Train, tmp_path: Path
) -> None:
    mean, more = tmp_path / "first-mean.safetensors", tmp_path / "second-attention.safetensors"
    train_loo(mean, replace(SCHEDULE, steps=2), "mean")  # type: ignore[call-arg]
    train_loo(more, replace(SCHEDULE, steps=1, learning_rate=0.0), "attention", mean)  # type: ignore[call-arg]
    before, after = load_file(mean), load_file(more)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert read_config(more).started_from == "mean after 2 steps"


def test_features_are_computed_once_for_the_same_inputs(
    people: TrainingSet, backbone: Backbone, clip_folder: Path, work: Path, tmp_path: Path
) -> None:
    encoder = open_encoder(clip_folder, backbone.device)
    reported: list[int] = []

    def report(step: int, steps: int, line: str) -> None:
        reported.append(step)

    training_features(people, tmp_path, backbone=backbone, encoder=encoder, progress=report)
    assert reported
    reported.clear()
    training_features(people, tmp_path, backbone=backbone, encoder=encoder, progress=report)
    assert not reported
    training_features(people, tmp_path, backbone=backbone, encoder=encoder, variants=1, progress=report)
    assert reported


def test_simultaneous_trainings_compute_features_once(
    people: TrainingSet, backbone: Backbone, clip_folder: Path, tmp_path: Path
) -> None:
    encoder = open_encoder(clip_folder, backbone.device)
    reported: list[int] = []

    def compute(progress: Progress) -> TrainingFeatures:
        return training_features(people, tmp_path, backbone=backbone, encoder=encoder, progress=progress)

    with ThreadPoolExecutor() as pool:
        others: list[Future[TrainingFeatures]] = []

        def start_another(step: int, steps: int, line: str) -> None:
            if not others:
                others.append(pool.submit(compute, lambda step, steps, line: reported.append(step)))
                wait(others, timeout=2)
                assert not others[0].done()

        first = compute(start_another)
        second = others[0].result()
    assert not reported
    assert torch.equal(first.latents, second.latents)


def test_features_match_photographs_and_mirror_images(
    people: TrainingSet, features: TrainingFeatures, backbone: Backbone, clip_folder: Path
) -> None:
    pixels = torch.from_numpy(people.pixels[5:6]).permute(0, 3, 1, 2) / 255
    encoder = open_encoder(clip_folder, backbone.device)
    for side, view in enumerate((pixels, pixels.flip(3))):
        assert torch.allclose(features.latents[5, side].float(), backbone.encode_pixels(view)[0], atol=2e-2)
        assert torch.allclose(features.patches[5, side].float(), encoder.of_pixels(view)[0], atol=1e-2)
    assert torch.allclose(features.sentences[0].float(), backbone.encode_text([""]).tokens[0], atol=1e-2)


def test_people_with_one_photograph_are_refused(
    people: TrainingSet, backbone: Backbone, clip_folder: Path, tmp_path: Path
) -> None:
    single = type(people)(people.pixels[:3], people.identities[[0, 4, 8]])  # type: ignore[call-arg]
    training = LeaveOneOutTraining("mean", tokens=3, hidden=64, encoder=clip_folder)
    with pytest.raises(MethodError, match="two photographs"):
        train_leave_one_out(
            single,
            tmp_path / "x.safetensors",
            training=training,
            backbone=backbone,
            schedule=SCHEDULE,
            work=tmp_path,
            progress=quiet,
        )
    assert backbone.state.leftovers(backbone.pipe) == []
