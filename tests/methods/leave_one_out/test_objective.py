"""The leave-one-out loss term by term, what is drawn for it, and what may not leak."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.noise_schedule import NoiseSchedule
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.leave_one_out.aggregators import AGGREGATORS, AggregatedTokens
from methods.leave_one_out.network import LeaveOneOutNetwork, load_network
from methods.leave_one_out.objective import Batch, Objective, draw_batch, leave_one_out_loss, noised_from
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.features import TrainingFeatures, training_features

Settings = dict[str, dict[str, object]]
EVERYTHING = Objective(drop_image=0.0, drop_text=0.0, drop_both=0.0, largest_set=3)
CPU = torch.device("cpu")

every_aggregator = pytest.mark.parametrize("name", AGGREGATORS)


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


def network_of(settings: Settings, backbone: Backbone, name: str = "mean") -> LeaveOneOutNetwork:
    file = Path(str(settings[f"loo-{name}"]["network"]))
    return load_network(file, backbone.unet, width=backbone.cross_attention_dim)


def batch_of(
    features: TrainingFeatures, objective: Objective = EVERYTHING, seed: int = 0, size: int = 4
) -> Batch:
    noise = NoiseSchedule(torch.linspace(0.99, 0.01, 1000), "epsilon")
    return draw_batch(features, objective, noise, size, torch.Generator().manual_seed(seed), CPU)


def loss_of(network: LeaveOneOutNetwork, batch: Batch, backbone: Backbone, noising: str) -> Tensor:
    with torch.no_grad(), network.adapter.on(backbone.unet, scale=1.0):
        return leave_one_out_loss(network, batch, backbone, noising)  # type: ignore[arg-type]


def conditioning(network: LeaveOneOutNetwork, batch: Batch) -> AggregatedTokens:
    return network.gather(network.tokens_of(batch.patches), batch.captions, batch.text.pooled, batch.mask)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("noising", ["held-out", "aggregate"])
def test_the_loss_is_the_formula_term_by_term(
    prediction: str, noising: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    batch, network = batch_of(features), network_of(settings, backbone)
    noise = NoiseSchedule(backbone.noise.alphas_cumprod, prediction)
    alpha = noise.alphas_cumprod[batch.t].sqrt()[:, None, None, None]
    sigma = (1 - noise.alphas_cumprod[batch.t]).sqrt()[:, None, None, None]
    x = batch.latents if noising == "held-out" else batch.others.mean(dim=1)
    x_t = alpha * x + sigma * batch.eps
    with torch.no_grad(), network.adapter.on(backbone.unet, scale=1.0) as slot:
        person = torch.stack(
            [network.tokens_of(batch.patches[:, i : i + 1])[:, 0] for i in range(batch.mask.shape[1])]
        )
        slot.gathered = AggregatedTokens(person.mean(dim=0), None)
        said = backbone.unet(x_t, batch.t, encoder_hidden_states=batch.text.tokens).sample
    target = batch.eps if prediction == "epsilon" else alpha * batch.eps - sigma * x
    formula = (target - said).square().flatten(1).mean(dim=1)
    own = replace(backbone, noise=noise)
    assert torch.allclose(loss_of(network, batch, own, noising), formula, rtol=1e-4, atol=1e-6)


def test_the_velocity_s_residual_is_that_of_the_noise_divided_by_alpha(
    features: TrainingFeatures, backbone: Backbone
) -> None:
    batch, noise = batch_of(features), NoiseSchedule(backbone.noise.alphas_cumprod, "v_prediction")
    said = torch.randn(batch.eps.shape, generator=torch.Generator().manual_seed(8))
    x_t = noise.add(batch.latents, batch.eps, batch.t)
    of_noise = batch.eps - noise.noise_of(said, x_t, batch.t)
    of_velocity = noise.target(batch.latents, batch.eps, batch.t) - said
    assert torch.allclose(of_noise, noise.alpha(batch.t) * of_velocity, atol=1e-5)


@every_aggregator
def test_the_dropped_photo_cannot_leak_into_its_own_conditioning(
    name: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    """Every photograph that is some row's x_j is replaced by noise for that row: what conditions it stays."""
    network = network_of(settings, backbone, name)
    batch = batch_of(features)
    for row, photo in enumerate(dropped_photos(features, batch)):
        other = batch_of(noised(features, photo))
        assert not torch.equal(other.latents[row], batch.latents[row])
        with torch.no_grad():
            before, after = (conditioning(network, b) for b in (batch, other))
        assert torch.equal(before.tokens[row], after.tokens[row])
        assert torch.equal(
            noised_from(network, batch, "aggregate")[row], noised_from(network, other, "aggregate")[row]
        )


def test_a_target_that_stays_in_its_set_is_seen_by_its_own_conditioning(
    features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    """The control: the same replacement changes what conditions every row."""
    network, control = network_of(settings, backbone), replace(EVERYTHING, leave_out=False)
    batch = batch_of(features, control)
    for row, photo in enumerate(dropped_photos(features, batch)):
        other = batch_of(noised(features, photo), control)
        with torch.no_grad():
            before, after = (conditioning(network, b) for b in (batch, other))
        assert not torch.equal(before.tokens[row], after.tokens[row])


def test_a_control_with_sets_of_one_conditions_on_the_target_alone(features: TrainingFeatures) -> None:
    batch = batch_of(features, Objective(leave_out=False, largest_set=1))
    assert torch.equal(batch.others[:, 0], batch.latents)
    assert batch.mask.shape == (4, 1)


def dropped_photos(features: TrainingFeatures, batch: Batch) -> list[int]:
    """Which photograph each row restores, found by its latents."""
    flat = features.latents.float().flatten(2)
    found = [(flat == x.flatten()).all(dim=2).any(dim=1).nonzero() for x in batch.latents]
    return [int(f[0]) for f in found]


def noised(features: TrainingFeatures, photo: int) -> TrainingFeatures:
    """The same people, with noise in place of one photograph."""
    other = replace(features, patches=features.patches.clone(), latents=features.latents.clone())
    generator = torch.Generator().manual_seed(4)
    for values in (other.patches, other.latents):
        values[photo] = torch.randn(values[photo].shape, generator=generator).to(values.dtype)
    return other


def test_the_set_is_of_other_photographs_of_the_same_person(features: TrainingFeatures) -> None:
    people = torch.empty(len(features.latents), dtype=torch.long)
    for person, (start, count) in enumerate(zip(features.start, features.count, strict=True)):
        people[features.order[start : start + count]] = person
    rows = features.photos_of(torch.tensor([0, 3, 5]), 4, torch.Generator().manual_seed(1))
    assert (people[rows] == torch.tensor([[0], [3], [5]])).all()
    assert all(len(set(row.tolist())) == 4 for row in rows)


def test_the_dropped_photograph_is_uniform_over_persons_and_photographs(features: TrainingFeatures) -> None:
    """24 photographs, 480 draws: 20 each, within five standard deviations."""
    batch = batch_of(features, replace(EVERYTHING, largest_set=1), size=480)
    counts = Counter(dropped_photos(features, batch))
    assert len(counts) == len(features.latents) == 24
    assert all(abs(count - 20) < 5 * 20**0.5 for count in counts.values())


def test_sets_of_every_size_are_drawn_alike(features: TrainingFeatures) -> None:
    sizes = Counter(batch_of(features, seed=seed, size=1).mask.shape[1] for seed in range(300))
    assert set(sizes) == {1, 2, 3}
    assert all(abs(count - 100) < 5 * 100**0.5 for count in sizes.values())
    fixed = replace(EVERYTHING, smallest_set=2, largest_set=2)
    assert {batch_of(features, fixed, seed=seed).mask.shape[1] for seed in range(9)} == {2}


def unequal(features: TrainingFeatures) -> TrainingFeatures:
    """The first person has two photographs, the others four."""
    order = torch.cat([features.order[:2], features.order[4:]])
    count = features.count.clone()
    count[0] = 2
    start = torch.cat([torch.zeros(1).long(), count.cumsum(0)[:-1]])
    return replace(features, order=order, count=count, start=start)


def test_who_has_fewer_photographs_gives_all_and_is_drawn_as_often(features: TrainingFeatures) -> None:
    people = unequal(features)
    batch = batch_of(people, EVERYTHING, seed=seed_of_sets_of_three(), size=600)
    first = [photo in people.order[:2] for photo in dropped_photos(people, batch)]
    assert [int(row.sum()) for row in batch.mask] == [1 if own else 3 for own in first]
    assert abs(sum(first) - 100) < 5 * 100**0.5


@every_aggregator
def test_a_masked_batch_has_the_losses_of_its_sets_alone(
    name: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    batch = batch_of(unequal(features), EVERYTHING, seed=seed_of_sets_of_three(), size=12)
    assert sorted(set(batch.mask.sum(1).tolist())) == [1, 3]
    network = network_of(settings, backbone, name)
    for noising in ("held-out", "aggregate"):
        together = loss_of(network, batch, backbone, noising)
        for row in range(len(together)):
            alone = loss_of(network, one_set(batch, row), backbone, noising)
            assert torch.allclose(alone, together[row], rtol=1e-4, atol=1e-5)


def seed_of_sets_of_three() -> int:
    """The first draw of a step is the size of its sets."""
    sizes = (torch.randint(1, 4, (), generator=torch.Generator().manual_seed(seed)) for seed in range(99))
    return [int(size) for size in sizes].index(3)


def one_set(batch: Batch, row: int) -> Batch:
    """One row by itself, without the places its set does not fill."""
    size, pick = int(batch.mask[row].sum()), slice(row, row + 1)
    parts = {field.name: getattr(batch, field.name)[pick] for field in fields(batch)}
    sets = {name: parts[name][:, :size] for name in ("patches", "captions", "others", "mask")}
    return Batch(**{**parts, **sets})


def test_rows_of_a_batch_are_the_same_however_it_is_split(features: TrainingFeatures) -> None:
    noise = NoiseSchedule(torch.linspace(0.99, 0.01, 1000), "epsilon")

    def rows(part: slice) -> Batch:
        generator = torch.Generator().manual_seed(3)
        return draw_batch(features, Objective(), noise, 6, generator, CPU, part)

    whole, parts = rows(slice(None)), [rows(slice(0, 2)), rows(slice(2, 6))]
    for field in fields(Batch):
        if field.name != "text":
            joined = torch.cat([getattr(part, field.name) for part in parts])
            assert torch.equal(joined, getattr(whole, field.name)), field.name
    assert torch.equal(torch.cat([part.text.tokens for part in parts]), whole.text.tokens)


def test_dropped_captions_and_photographs_have_their_shares(features: TrainingFeatures) -> None:
    objective = Objective(drop_image=0.2, drop_text=0.3, drop_both=0.1, largest_set=1)
    batch = batch_of(features, objective, size=4000)
    zero_linear = (batch.text.tokens == features.sentences[0].float()).flatten(1).all(dim=1)
    assert torch.equal(zero_linear, (batch.text.pooled == features.pooled[0].float()).all(dim=1))
    assert zero_linear.float().mean().item() == pytest.approx(0.4, abs=0.04)
    assert batch.dropped.float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert (zero_linear & batch.dropped).float().mean().item() == pytest.approx(0.1, abs=0.03)


def test_blank_captions_are_the_empty_sentence_for_target_and_set(features: TrainingFeatures) -> None:
    given, blank = (batch_of(features, replace(EVERYTHING, captions=said)) for said in ("given", "blank"))
    empty = features.text_of(torch.zeros(1, dtype=torch.long), CPU)
    assert (blank.text.tokens == empty.tokens).all()
    assert (blank.captions == empty.pooled).all()
    assert not (given.captions == empty.pooled).any(dim=(1, 2)).all()
    assert torch.equal(given.latents, blank.latents)


def test_noise_steps_are_uniform_unless_they_lean(features: TrainingFeatures) -> None:
    for timestep_power, mean in ((1.0, 500), (3.0, 750)):
        batch = batch_of(features, replace(EVERYTHING, timestep_power=timestep_power), size=2000)
        assert batch.t.float().mean().item() == pytest.approx(mean, abs=2)


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"noising": "other"},
        {"captions": "some"},
        {"largest_set": 0},
        {"smallest_set": 3, "largest_set": 2},
        {"drop_text": 1.2},
        {"timestep_power": 0},
    ],
)
def test_a_wrong_setting_of_the_objective_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MethodError, match="leave-one-out"):
        Objective(**wrong)  # type: ignore[arg-type]
