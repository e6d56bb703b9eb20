"""The leave-one-out loss term by term, what may not leak, and the method around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods.backbone import Backbone
from methods.catalog import make
from methods.image_encoder import open_encoder
from methods.interface import MethodError, Request, Subject
from methods.leave_one_out.adapter import guided
from methods.leave_one_out.aggregators import Gathered
from methods.leave_one_out.method import LeaveOneOut
from methods.leave_one_out.network import LeaveOneOutNetwork, load_network, save_network
from methods.leave_one_out.objective import Batch, Objective, draw_batch, leave_one_out_loss, noised_from
from methods.noise import NoiseSchedule
from methods.training_features import TrainingFeatures, training_features
from methods.training_set import TrainingSet

Settings = dict[str, dict[str, object]]
ASKED = Request("a photo of {subject}, smiling", 3)
EVERYTHING = Objective(drop_image=0.0, drop_text=0.0, drop_both=0.0, largest_set=3)


def quiet(step: int, steps: int, line: str) -> None: ...


@pytest.fixture(scope="module")
def features(
    people: TrainingSet,
    shared_backbone: Backbone,
    clip_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainingFeatures:
    encoder = open_encoder(clip_folder, shared_backbone.device)
    work = tmp_path_factory.mktemp("work")
    return training_features(people, work, backbone=shared_backbone, encoder=encoder, progress=quiet)


def method_of(settings: Settings, name: str = "mean", **more: object) -> LeaveOneOut:
    method = (
        make(f"loo-{name}", {**settings[f"loo-{name}"], **more}) if name in ("mean", "attention") else None
    )
    return method if isinstance(method, LeaveOneOut) else LeaveOneOut(**{**settings[f"loo-{name}"], **more})  # type: ignore[arg-type]


def network_of(settings: Settings, backbone: Backbone, name: str = "mean") -> LeaveOneOutNetwork:
    return load_network(method_of(settings, name).file, backbone.unet, width=backbone.cross_attention_dim)


def batch_of(features: TrainingFeatures, objective: Objective = EVERYTHING, seed: int = 0) -> Batch:
    return draw_batch(features, objective, 4, torch.Generator().manual_seed(seed), torch.device("cpu"))


def draws(batch: Batch) -> tuple[Tensor, Tensor]:
    eps = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(7))
    return torch.tensor([10, 300, 600, 990]), eps


def loss_of(
    network: LeaveOneOutNetwork, batch: Batch, backbone: Backbone, noising: str, noise: NoiseSchedule
) -> Tensor:
    t, eps = draws(batch)
    with torch.no_grad(), network.adapter.on(backbone.unet, scale=1.0):
        return leave_one_out_loss(network, batch, backbone.unet, noise=noise, noising=noising, t=t, eps=eps)  # type: ignore[arg-type]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("noising", ["held-out", "aggregate"])
def test_the_loss_is_the_formula_term_by_term(
    prediction: str, noising: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    batch, network = batch_of(features), network_of(settings, backbone)
    noise = NoiseSchedule(backbone.noise.alphas_cumprod, prediction)
    t, eps = draws(batch)
    alpha = noise.alphas_cumprod[t].sqrt()[:, None, None, None]
    sigma = (1 - noise.alphas_cumprod[t]).sqrt()[:, None, None, None]
    x = batch.latents if noising == "held-out" else batch.others.mean(dim=1)
    x_t = alpha * x + sigma * eps
    with torch.no_grad(), network.adapter.on(backbone.unet, scale=1.0) as slot:
        person = torch.stack(
            [network.tokens_of(batch.patches[:, i : i + 1])[:, 0] for i in range(batch.mask.shape[1])]
        )
        slot.gathered = Gathered(person.mean(dim=0), None)
        said = backbone.unet(x_t, t, encoder_hidden_states=batch.text).sample
    target = eps if prediction == "epsilon" else alpha * eps - sigma * x
    formula = (target - said).square().flatten(1).mean(dim=1)
    assert torch.allclose(loss_of(network, batch, backbone, noising, noise), formula, rtol=1e-4, atol=1e-6)


def test_the_velocity_s_residual_is_that_of_the_noise_divided_by_alpha(
    features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    batch, noise = batch_of(features), NoiseSchedule(backbone.noise.alphas_cumprod, "v_prediction")
    t, eps = draws(batch)
    said = torch.randn(eps.shape, generator=torch.Generator().manual_seed(8))
    x_t = noise.add(batch.latents, eps, t)
    of_noise = eps - noise.noise_of(said, x_t, t)
    of_velocity = noise.target(batch.latents, eps, t) - said
    assert torch.allclose(of_noise, noise.alpha(t) * of_velocity, atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "caption-attention", "attention", "concat"])
def test_the_dropped_photo_cannot_leak_into_its_own_conditioning(
    name: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    """Every photograph that is some row's x_j is replaced by noise for that row: what conditions it stays."""
    network = network_of(settings, backbone, name)
    batch = batch_of(features)
    rows = rows_of(features)
    for row in range(4):
        noised = replace(features, patches=features.patches.clone(), latents=features.latents.clone())
        noised.patches[rows[row]] = 7.0
        noised.latents[rows[row]] = 7.0
        other = batch_of(noised)
        assert (other.latents[row] == 7).all()
        with torch.no_grad():
            before, after = (conditioning(network, b) for b in (batch, other))
        assert torch.equal(before.tokens[row], after.tokens[row])
        assert torch.equal(
            noised_from(network, batch, "aggregate")[row], noised_from(network, other, "aggregate")[row]
        )


def conditioning(network: LeaveOneOutNetwork, batch: Batch) -> Gathered:
    return network.gather(network.tokens_of(batch.patches), batch.captions, batch.wanted, batch.mask)


def rows_of(features: TrainingFeatures) -> list[int]:
    """Which photograph each row of `batch_of` drops, found by its latents."""
    latents = batch_of(features).latents
    flat = features.latents.float().flatten(2)
    found = [(flat == x.flatten()).all(dim=2).any(dim=1).nonzero() for x in latents]
    return [int(f[0]) for f in found]


def test_the_others_are_other_photographs_of_the_same_person(features: TrainingFeatures) -> None:
    people = torch.empty(len(features.latents), dtype=torch.long)
    for person, (start, count) in enumerate(zip(features.start, features.count, strict=True)):
        people[features.order[start : start + count]] = person
    rows = features.photos_of(torch.tensor([0, 3, 5]), 4, torch.Generator().manual_seed(1))
    assert (people[rows] == torch.tensor([[0], [3], [5]])).all()
    assert all(len(set(row.tolist())) == 4 for row in rows)


def test_all_sizes_of_sets_and_all_photographs_are_drawn(features: TrainingFeatures) -> None:
    batches = [batch_of(features, seed=seed) for seed in range(60)]
    assert {batch.mask.shape[1] for batch in batches} == {1, 2, 3}
    dropped = {tuple(x.flatten()[:3].tolist()) for batch in batches for x in batch.latents}
    assert len(dropped) == 2 * len(features.latents)


def test_dropped_captions_and_photographs_have_their_shares(features: TrainingFeatures) -> None:
    objective = Objective(drop_image=0.2, drop_text=0.3, drop_both=0.1, largest_set=1)
    batch = draw_batch(features, objective, 4000, torch.Generator().manual_seed(0), torch.device("cpu"))
    silent = (batch.text == features.sentences[0].float()).flatten(1).all(dim=1)
    assert torch.equal(silent, (batch.wanted == features.pooled[0].float()).all(dim=1))
    assert silent.float().mean().item() == pytest.approx(0.4, abs=0.04)
    assert batch.dropped.float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert (silent & batch.dropped).float().mean().item() == pytest.approx(0.1, abs=0.03)


def test_rows_without_photographs_see_the_same_nothing(
    features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    for name in ("mean", "concat"):
        network = network_of(settings, backbone, name)
        batch = batch_of(features, seed=1)
        gathered = conditioning(network, batch)
        told = network.without(gathered, torch.tensor([True, False, True, False]))
        assert torch.equal(told.tokens[0, :3], network.nothing[0])
        assert torch.equal(told.tokens[1], gathered.tokens[1])
        assert told.keep is None or told.keep.sum(1).tolist() == [3, gathered.tokens.shape[1]] * 2


def test_guidance_puts_nothing_before_the_person_and_pads_what_is_shorter() -> None:
    both = guided(Gathered(torch.zeros(2, 3, 4), None), Gathered(torch.ones(2, 6, 4), None))
    assert both.tokens.shape == (4, 6, 4)
    assert both.keep is not None
    assert both.keep.sum(1).tolist() == [3, 3, 6, 6]
    assert guided(Gathered(torch.zeros(2, 3, 4), None), Gathered(torch.ones(2, 3, 4), None)).keep is None


def test_without_image_tokens_the_adapter_is_the_backbone(settings: Settings, backbone: Backbone) -> None:
    network = network_of(settings, backbone)
    wanted = backbone.draw(["a photo of a man"], [1])[0].tobytes()
    with backbone.clean(), network.adapter.on(backbone.unet, scale=0.0) as slot:
        slot.gathered = Gathered(torch.ones(4, 3, backbone.cross_attention_dim), None)
        assert backbone.draw(["a photo of a man"], [1])[0].tobytes() == wanted


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


def test_tuning_needs_a_photograph_to_leave_out(settings: Settings, subject: Subject) -> None:
    one = Subject("ada", "woman", subject.references[:1])
    assert method_of(settings).objection(one) is None
    assert "needs 2" in (method_of(settings, tune_steps=5).objection(one) or "")


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
    "build",
    [
        lambda: LeaveOneOut(aggregator="men"),
        lambda: Objective(noising="other"),
        lambda: Objective(largest_set=0),
    ],  # type: ignore[arg-type]
)
def test_a_wrong_setting_is_refused(build: object) -> None:
    with pytest.raises(MethodError):
        build()  # type: ignore[operator]
