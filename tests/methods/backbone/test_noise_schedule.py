"""The noise schedule: known values, loss weights and timesteps."""

from __future__ import annotations

import pytest
import torch

from methods.backbone.backbone import Backbone
from methods.backbone.noise_schedule import VariancePreserving
from methods.errors import MethodError

ALPHAS_CUMPROD = torch.tensor([0.99, 0.64, 0.01])


@pytest.fixture
def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, eps = (torch.randn(3, 4, 2, 2, generator=generator) for _ in range(2))
    return x, eps, torch.arange(3)


def test_noised_latent_mixes_signal_and_noise_by_the_schedule(
    rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    x, eps, t = rows
    noised = VariancePreserving(ALPHAS_CUMPROD, "epsilon").add(x, eps, t)
    assert torch.allclose(noised[1], 0.8 * x[1] + 0.6 * eps[1])


def test_noise_and_target_equal_those_of_the_checkpoint_scheduler(
    backbone: Backbone, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    x, eps, _ = rows
    t = torch.tensor([0, 500, 999])
    assert torch.allclose(
        backbone.noise.add(x, eps, t), backbone.pipe.scheduler.add_noise(x, eps, t), atol=1e-6
    )
    velocity = backbone.pipe.scheduler.get_velocity(x, eps, t)
    assert torch.allclose(backbone.noise.target(x, eps, t), velocity, atol=1e-6)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_noise_of_the_exact_target_is_the_added_noise(
    prediction: str, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    x, eps, t = rows
    noise = VariancePreserving(ALPHAS_CUMPROD, prediction)
    assert torch.allclose(noise.noise_of(noise.target(x, eps, t), noise.add(x, eps, t), t), eps, atol=1e-5)


def test_min_snr_weights_equal_the_published_formula() -> None:
    t, snr = torch.arange(3), ALPHAS_CUMPROD / (1 - ALPHAS_CUMPROD)
    eps = VariancePreserving(ALPHAS_CUMPROD, "epsilon").weight(t, 5.0)
    velocity = VariancePreserving(ALPHAS_CUMPROD, "v_prediction").weight(t, 5.0)
    assert torch.allclose(eps, torch.tensor([5 / 99, 1.0, 1.0]), atol=1e-5)
    assert torch.allclose(velocity, snr.clamp(max=5) / (snr + 1))
    assert torch.equal(VariancePreserving(ALPHAS_CUMPROD, "epsilon").weight(t, None), torch.ones(3))


def test_min_snr_weight_at_zero_snr_is_its_limit() -> None:
    noise = VariancePreserving(torch.tensor([0.5, 0.0]), "epsilon")
    assert noise.weight(torch.tensor([0, 1]), 5.0).tolist() == [1.0, 1.0]


def test_sampled_timesteps_are_stratified() -> None:
    noise = VariancePreserving(torch.linspace(0.99, 0.01, 1000), "epsilon")
    t = noise.sample_timesteps(10, torch.Generator().manual_seed(0))
    assert (t // 100).tolist() == list(range(10))
    first = torch.stack(
        [noise.sample_timesteps(1, torch.Generator().manual_seed(seed)) for seed in range(400)]
    )
    assert 400 < first.float().mean() < 600


def test_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(MethodError, match="'sample'"):
        VariancePreserving(ALPHAS_CUMPROD, "sample")
