"""The leave-one-out loss: its terms, its sampling, and that the target does not leak into its condition."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods.backbone.attention.token_layers import ImageTokens
from methods.backbone.backbone import Backbone
from methods.backbone.noise_schedule import VariancePreserving
from methods.encoders.clip_vision import open_encoder
from methods.errors import MethodError
from methods.leave_one_out.aggregators import AGGREGATORS
from methods.leave_one_out.network import LeaveOneOutNetwork, load_network
from methods.leave_one_out.objective import Batch, Objective, clean_latents, draw_batch, leave_one_out_loss
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.features import TrainingFeatures, training_features

Settings = dict[str, dict[str, object]]
NO_DROPPING = Objective(drop_image=0.0, drop_text=0.0, drop_both=0.0, largest_set=3)
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
    return load_network(file, backbone.attention)


def batch_of(
    features: TrainingFeatures, objective: Objective = NO_DROPPING, seed: int = 0, size: int = 4
) -> Batch:
    noise = VariancePreserving(torch.linspace(0.99, 0.01, 1000), "epsilon")
    return draw_batch(features, objective, noise, size, torch.Generator().manual_seed(seed), CPU)


def loss_of(network: LeaveOneOutNetwork, batch: Batch, backbone: Backbone, noising: str) -> Tensor:
    with torch.no_grad(), network.adapter.attached(backbone.attention, scale=1.0):
        return leave_one_out_loss(network, batch, backbone, noising)  # type: ignore[arg-type]


def conditioning(network: LeaveOneOutNetwork, batch: Batch) -> ImageTokens:
    return network.aggregate(network.tokens_of(batch.patches), batch.captions, batch.text.pooled, batch.mask)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("noising", ["held-out", "aggregate"])
def test_loss_equals_the_formula(
    prediction: str, noising: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    batch, network = batch_of(features), network_of(settings, backbone)
    noise = VariancePreserving(backbone.noise.alphas_cumprod, prediction)
    alpha = noise.alphas_cumprod[batch.t].sqrt()[:, None, None, None]
    sigma = (1 - noise.alphas_cumprod[batch.t]).sqrt()[:, None, None, None]
    x = batch.latents if noising == "held-out" else batch.set_latents.mean(dim=1)
    x_t = alpha * x + sigma * batch.eps
    with torch.no_grad(), network.adapter.attached(backbone.attention, scale=1.0) as slot:
        person = torch.stack(
            [network.tokens_of(batch.patches[:, i : i + 1])[:, 0] for i in range(batch.mask.shape[1])]
        )
        slot.fill(ImageTokens(person.mean(dim=0), None))
        predicted = backbone.network(x_t, batch.t, encoder_hidden_states=batch.text.tokens).sample
    target = batch.eps if prediction == "epsilon" else alpha * batch.eps - sigma * x
    formula = (target - predicted).square().flatten(1).mean(dim=1)
    own = replace(backbone, noise=noise)
    assert torch.allclose(loss_of(network, batch, own, noising), formula, rtol=1e-4, atol=1e-6)


def test_velocity_residual_is_the_noise_residual_divided_by_alpha(
    features: TrainingFeatures, backbone: Backbone
) -> None:
    batch, noise = batch_of(features), VariancePreserving(backbone.noise.alphas_cumprod, "v_prediction")
    predicted = torch.randn(batch.eps.shape, generator=torch.Generator().manual_seed(8))
    x_t = noise.add(batch.latents, batch.eps, batch.t)
    of_noise = batch.eps - noise.noise_of(predicted, x_t, batch.t)
    of_velocity = noise.target(batch.latents, batch.eps, batch.t) - predicted
    assert torch.allclose(of_noise, noise.alpha(batch.t) * of_velocity, atol=1e-5)


@every_aggregator
def test_left_out_photo_does_not_influence_its_condition(
    name: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    """Replacing a row's x_j by noise leaves the row's condition unchanged."""
    network = network_of(settings, backbone, name)
    batch = batch_of(features)
    for row, photo in enumerate(target_photos(features, batch)):
        other = batch_of(with_noise_as_photo(features, photo))
        assert not torch.equal(other.latents[row], batch.latents[row])
        with torch.no_grad():
            before, after = (conditioning(network, b) for b in (batch, other))
        assert torch.equal(before.tokens[row], after.tokens[row])
        assert torch.equal(
            clean_latents(network, batch, "aggregate")[row], clean_latents(network, other, "aggregate")[row]
        )


def test_without_leaving_out_the_target_influences_its_condition(
    features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    """The control: the same replacement changes every row's condition."""
    network, control = network_of(settings, backbone), replace(NO_DROPPING, leave_out=False)
    batch = batch_of(features, control)
    for row, photo in enumerate(target_photos(features, batch)):
        other = batch_of(with_noise_as_photo(features, photo), control)
        with torch.no_grad():
            before, after = (conditioning(network, b) for b in (batch, other))
        assert not torch.equal(before.tokens[row], after.tokens[row])


def test_control_with_sets_of_one_conditions_on_the_target_only(features: TrainingFeatures) -> None:
    batch = batch_of(features, Objective(leave_out=False, largest_set=1))
    assert torch.equal(batch.set_latents[:, 0], batch.latents)
    assert batch.mask.shape == (4, 1)


def target_photos(features: TrainingFeatures, batch: Batch) -> list[int]:
    """Index of each row's target photograph, found by its latents."""
    flat = features.latents.float().flatten(2)
    found = [(flat == x.flatten()).all(dim=2).any(dim=1).nonzero() for x in batch.latents]
    return [int(f[0]) for f in found]


def with_noise_as_photo(features: TrainingFeatures, photo: int) -> TrainingFeatures:
    """The same features with one photograph replaced by noise."""
    other = replace(features, patches=features.patches.clone(), latents=features.latents.clone())
    generator = torch.Generator().manual_seed(4)
    for values in (other.patches, other.latents):
        values[photo] = torch.randn(values[photo].shape, generator=generator).to(values.dtype)
    return other


def test_sets_contain_different_photographs_of_one_person(features: TrainingFeatures) -> None:
    people = torch.empty(len(features.latents), dtype=torch.long)
    for person, (start, count) in enumerate(zip(features.start, features.count, strict=True)):
        people[features.order[start : start + count]] = person
    rows = features.photos_of(torch.tensor([0, 3, 5]), 4, torch.Generator().manual_seed(1))
    assert (people[rows] == torch.tensor([[0], [3], [5]])).all()
    assert all(len(set(row.tolist())) == 4 for row in rows)


def test_targets_are_uniform_over_persons_and_photographs(features: TrainingFeatures) -> None:
    """24 photographs, 480 samples: 20 each, within five standard deviations."""
    batch = batch_of(features, replace(NO_DROPPING, largest_set=1), size=480)
    counts = Counter(target_photos(features, batch))
    assert len(counts) == len(features.latents) == 24
    assert all(abs(count - 20) < 5 * 20**0.5 for count in counts.values())


def test_set_sizes_are_uniform(features: TrainingFeatures) -> None:
    sizes = Counter(batch_of(features, seed=seed, size=1).mask.shape[1] for seed in range(300))
    assert set(sizes) == {1, 2, 3}
    assert all(abs(count - 100) < 5 * 100**0.5 for count in sizes.values())
    fixed = replace(NO_DROPPING, smallest_set=2, largest_set=2)
    assert {batch_of(features, fixed, seed=seed).mask.shape[1] for seed in range(9)} == {2}


def with_unequal_counts(features: TrainingFeatures) -> TrainingFeatures:
    """The first person has two photographs, the others four."""
    order = torch.cat([features.order[:2], features.order[4:]])
    count = features.count.clone()
    count[0] = 2
    start = torch.cat([torch.zeros(1).long(), count.cumsum(0)[:-1]])
    return replace(features, order=order, count=count, start=start)


def test_person_with_fewer_photographs_contributes_all_and_is_sampled_as_often(
    features: TrainingFeatures,
) -> None:
    people = with_unequal_counts(features)
    batch = batch_of(people, NO_DROPPING, seed=seed_of_sets_of_three(), size=600)
    first = [photo in people.order[:2] for photo in target_photos(people, batch)]
    assert [int(row.sum()) for row in batch.mask] == [1 if own else 3 for own in first]
    assert abs(sum(first) - 100) < 5 * 100**0.5


@every_aggregator
def test_masked_batch_has_the_losses_of_its_sets_processed_separately(
    name: str, features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    batch = batch_of(with_unequal_counts(features), NO_DROPPING, seed=seed_of_sets_of_three(), size=12)
    assert sorted(set(batch.mask.sum(1).tolist())) == [1, 3]
    network = network_of(settings, backbone, name)
    for noising in ("held-out", "aggregate"):
        together = loss_of(network, batch, backbone, noising)
        for row in range(len(together)):
            alone = loss_of(network, one_set(batch, row), backbone, noising)
            assert torch.allclose(alone, together[row], rtol=1e-4, atol=1e-5)


def seed_of_sets_of_three() -> int:
    """A seed whose first random number gives sets of three."""
    sizes = (torch.randint(1, 4, (), generator=torch.Generator().manual_seed(seed)) for seed in range(99))
    return [int(size) for size in sizes].index(3)


def one_set(batch: Batch, row: int) -> Batch:
    """One row as a batch, without padding."""
    size, pick = int(batch.mask[row].sum()), slice(row, row + 1)
    # Only batches of SDXL have time ids.
    names = [field.name for field in fields(batch) if field.name != "time_ids"]
    parts = {name: getattr(batch, name)[pick] for name in names}
    sets = {name: parts[name][:, :size] for name in ("patches", "captions", "set_latents", "mask")}
    return Batch(**{**parts, **sets})


def test_rows_do_not_depend_on_how_the_batch_is_split(features: TrainingFeatures) -> None:
    noise = VariancePreserving(torch.linspace(0.99, 0.01, 1000), "epsilon")
    sized = replace(features, time_ids=torch.arange(6 * len(features.latents)).view(-1, 6))

    def rows(part: slice) -> Batch:
        generator = torch.Generator().manual_seed(3)
        return draw_batch(sized, Objective(), noise, 6, generator, CPU, part)

    whole, parts = rows(slice(None)), [rows(slice(0, 2)), rows(slice(2, 6))]
    for field in fields(Batch):
        if field.name != "text":
            joined = torch.cat([getattr(part, field.name) for part in parts])
            assert torch.equal(joined, getattr(whole, field.name)), field.name
    assert torch.equal(torch.cat([part.text.tokens for part in parts]), whole.text.tokens)


def test_captions_and_photographs_are_dropped_at_the_given_rates(features: TrainingFeatures) -> None:
    objective = Objective(drop_image=0.2, drop_text=0.3, drop_both=0.1, largest_set=1)
    batch = batch_of(features, objective, size=4000)
    without_caption = (batch.text.tokens == features.sentences[0].float()).flatten(1).all(dim=1)
    assert torch.equal(without_caption, (batch.text.pooled == features.pooled[0].float()).all(dim=1))
    assert without_caption.float().mean().item() == pytest.approx(0.4, abs=0.04)
    assert batch.dropped.float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert (without_caption & batch.dropped).float().mean().item() == pytest.approx(0.1, abs=0.03)


def test_blank_captions_replace_those_of_target_and_set(features: TrainingFeatures) -> None:
    given, blank = (
        batch_of(features, replace(NO_DROPPING, captions=captions)) for captions in ("given", "blank")
    )
    empty = features.text_of(torch.zeros(1, dtype=torch.long), CPU)
    assert (blank.text.tokens == empty.tokens).all()
    assert (blank.captions == empty.pooled).all()
    assert not (given.captions == empty.pooled).any(dim=(1, 2)).all()
    assert torch.equal(given.latents, blank.latents)


def test_timesteps_are_uniform_unless_timestep_power_is_set(features: TrainingFeatures) -> None:
    for timestep_power, mean in ((1.0, 500), (3.0, 750)):
        batch = batch_of(features, replace(NO_DROPPING, timestep_power=timestep_power), size=2000)
        assert batch.t.float().mean().item() == pytest.approx(mean, abs=2)


def test_rows_without_photographs_get_the_unconditional_tokens(
    features: TrainingFeatures, settings: Settings, backbone: Backbone
) -> None:
    for name in ("mean", "concat"):
        network = network_of(settings, backbone, name)
        batch = batch_of(features, seed=1)
        aggregated = conditioning(network, batch)
        dropped = network.drop_photos(aggregated, torch.tensor([True, False, True, False]))
        assert torch.equal(dropped.tokens[0, :3], network.nothing[0])
        assert torch.equal(dropped.tokens[1], aggregated.tokens[1])
        assert dropped.mask is None or dropped.mask.sum(1).tolist() == [3, aggregated.tokens.shape[1]] * 2


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
def test_invalid_objective_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MethodError, match="leave-one-out"):
        Objective(**wrong)  # type: ignore[arg-type]
