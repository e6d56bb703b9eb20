"""The rectified-flow schedule against diffusers' scheduler and training formulas."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import (
    compute_density_for_timestep_sampling,
    compute_loss_weighting_for_sd3,
)

from methods.backbone.rectified_flow import RectifiedFlow
from methods.errors import MethodError

SCHEMES = ["none", "sigma_sqrt", "logit_normal", "mode", "cosmap"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_timesteps_and_weights_are_those_of_the_published_script(scheme: str) -> None:
    flow = RectifiedFlow(shift=3.0, weighting_scheme=scheme, logit_mean=0.5, logit_std=0.8)  # type: ignore[arg-type]
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    # The script's lines, with a generator.
    u = compute_density_for_timestep_sampling(
        scheme, 64, logit_mean=0.5, logit_std=0.8, mode_scale=1.29, generator=generator()
    )
    expected = scheduler.timesteps[(u * 1000).long()]
    t = flow.random_timesteps(64, generator())
    assert torch.allclose(t, expected, atol=1e-3)
    weights = compute_loss_weighting_for_sd3(scheme, expected / 1000)
    assert torch.allclose(flow.weight(t, None), weights, rtol=1e-4)


def test_timesteps_are_levels_that_diffusers_scheduler_knows() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
    t = RectifiedFlow(shift=2.0).random_timesteps(200, generator())
    assert all((scheduler.timesteps - value).abs().min() < 1e-3 for value in t)


def test_clean_latents_and_noise_are_the_ends_of_the_path() -> None:
    flow, x, eps = RectifiedFlow(), torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    assert torch.equal(flow.add(x, eps, torch.tensor([0.0, 0.0])), x)
    assert torch.equal(flow.add(x, eps, torch.tensor([1000.0, 1000.0])), eps)
    t = torch.tensor([300.0, 800.0])
    x_t, v = flow.add(x, eps, t), flow.target(x, eps, t)
    assert torch.allclose(x_t - flow.sigma(t) * v, x, atol=1e-6)


def test_preconditioned_outputs_weigh_the_velocity_by_sigma_squared() -> None:
    t = torch.tensor([200.0, 900.0])
    flow = RectifiedFlow(precondition_outputs=True)
    x, eps, v = (torch.randn(2, 4, 3, 3) for _ in range(3))
    # The script's loss on clean latents.
    restored = v * -flow.sigma(t) + flow.add(x, eps, t)
    expected = (restored - x).square().mean(dim=(1, 2, 3))
    found = flow.weight(t, None) * (v - flow.target(x, eps, t)).square().mean(dim=(1, 2, 3))
    assert torch.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("scheme", ["none", "logit_normal", "mode"])
def test_strata_follow_the_density_of_independent_draws(scheme: str) -> None:
    flow = RectifiedFlow(shift=3.0, weighting_scheme=scheme)  # type: ignore[arg-type]
    independent = flow.random_timesteps(40_000, generator()).sort().values
    stratified = flow.sample_timesteps(40_000, generator(1)).sort().values
    assert (independent - stratified).abs().mean() < 6
    few = flow.sample_timesteps(4, generator(), timestep_power=1.0)
    assert (few[:-1] < few[1:]).all()
    assert flow.sample_timesteps(1000, generator(), timestep_power=2.0).mean() > stratified.mean()


def test_min_snr_and_impossible_settings_are_refused() -> None:
    with pytest.raises(MethodError, match="min_snr weights a U-Net's loss"):
        RectifiedFlow().weight(torch.tensor([1.0]), 5.0)
    with pytest.raises(MethodError, match="weighting_scheme 'uniform'"):
        RectifiedFlow(weighting_scheme="uniform")  # type: ignore[arg-type]
