"""The forward diffusion process: noised latents, training targets and loss weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from methods.errors import MethodError


class NoiseSchedule(Protocol):
    """What training needs of a checkpoint's schedule; timesteps (B,) are what its network reads."""

    @property
    def prediction(self) -> str:
        """What the network predicts: `epsilon`, `v_prediction` or `flow_prediction`."""

    def with_settings(self, **settings: Any) -> NoiseSchedule:
        """Return the schedule with other settings of `RectifiedFlow`; raises MethodError for another kind."""

    def random_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample `count` independent timesteps, as the published scripts for fine-tuning do."""

    def sample_timesteps(
        self, count: int, generator: torch.Generator, *, timestep_power: float = 1.0
    ) -> Tensor:
        """Sample `count` timesteps, one from each of `count` equally likely strata of the schedule.

        `timestep_power` above 1 favours noise. Stratification reduces the variance of a batch's loss.
        """

    def add(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Noised latents at `t`."""

    def target(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network should predict at `t`."""

    def weight(self, t: Tensor, gamma: float | None) -> Tensor:
        """Loss weight of each row, (B,); `gamma` is that of Min-SNR, None without it."""


@dataclass(frozen=True)
class VariancePreserving:
    """The discrete variance-preserving schedule of a Stable Diffusion checkpoint."""

    alphas_cumprod: Tensor
    """Product of the alphas up to each step, float32, shape (steps,), decreasing."""
    prediction: str
    """What the U-Net predicts: `epsilon` or `v_prediction`."""

    def __post_init__(self) -> None:
        if self.prediction not in ("epsilon", "v_prediction"):
            raise MethodError(
                f"backbone predicts {self.prediction!r}; only epsilon and v_prediction are supported"
            )

    @classmethod
    def of(cls, scheduler: Any) -> VariancePreserving:
        """The training schedule of a checkpoint, from the config of its scheduler."""
        from diffusers import DDPMScheduler

        training = DDPMScheduler.from_config(scheduler.config)
        return cls(training.alphas_cumprod.clone(), training.config.prediction_type)

    @property
    def steps(self) -> int:
        return len(self.alphas_cumprod)

    def with_settings(self, **settings: Any) -> VariancePreserving:
        """Raise MethodError where there is a setting: all are of rectified flow."""
        if settings:
            raise MethodError(
                f"{', '.join(settings)}: only for backbones of rectified flow, such as Stable Diffusion 3; "
                "this one has a variance-preserving schedule: leave it out"
            )
        return self

    def random_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample `count` independent timesteps, uniform."""
        return torch.randint(self.steps, (count,), generator=generator)

    def sample_timesteps(
        self, count: int, generator: torch.Generator, *, timestep_power: float = 1.0
    ) -> Tensor:
        """Sample `count` timesteps, one from each of `count` equally likely strata of the schedule.

        The density of t is proportional to t^(timestep_power - 1): 1 is uniform, larger values favour noise.
        For exchangeable rows each timestep has this density; stratification reduces the variance of a batch's
        loss.
        """
        positions = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        if timestep_power != 1:
            positions = positions ** (1 / timestep_power)
        return (positions * self.steps).long().clamp(max=self.steps - 1)

    def alpha(self, t: Tensor) -> Tensor:
        """Signal scale at step `t`; alpha^2 + sigma^2 = 1. Shape (B, 1, 1, 1)."""
        return self.alphas_cumprod.to(t.device)[t].sqrt().view(-1, 1, 1, 1)

    def sigma(self, t: Tensor) -> Tensor:
        """Noise scale at step `t`. Shape (B, 1, 1, 1)."""
        return (1 - self.alphas_cumprod.to(t.device)[t]).sqrt().view(-1, 1, 1, 1)

    def add(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha_t x + sigma_t eps (Ho et al. 2020, eq. 4)."""
        return self.alpha(t) * x + self.sigma(t) * eps

    def target(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Training target at x_t: eps, or v = alpha_t eps - sigma_t x (Salimans and Ho 2022)."""
        if self.prediction == "epsilon":
            return eps
        return self.alpha(t) * eps - self.sigma(t) * x

    def noise_of(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Predicted noise from the U-Net's output: eps = alpha_t v + sigma_t x_t."""
        if self.prediction == "epsilon":
            return output
        return self.alpha(t) * output + self.sigma(t) * x_t

    def weight(self, t: Tensor, gamma: float | None) -> Tensor:
        """Min-SNR loss weight of each step (Hang et al. 2023); ones where `gamma` is None. Shape (B,)."""
        if gamma is None:
            return torch.ones(len(t), device=t.device)
        alpha_bar = self.alphas_cumprod.to(t.device)[t]
        snr = alpha_bar / (1 - alpha_bar)
        clipped = snr.clamp(max=gamma)
        if self.prediction == "epsilon":
            # At zero terminal SNR, the limit of 0 / 0.
            return (clipped / snr).where(snr > 0, torch.ones_like(snr))
        return clipped / (snr + 1)
