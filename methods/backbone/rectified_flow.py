"""Rectified flow (Liu et al. 2023; Esser et al. 2024): the schedule of SD 3 and FLUX in training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor

from methods.errors import MethodError

WeightingScheme = Literal["none", "sigma_sqrt", "logit_normal", "mode", "cosmap"]
"""diffusers' `--weighting_scheme`: a density of the noise levels (`logit_normal`, `mode`; else uniform) or a
weight of the loss (`sigma_sqrt`, `cosmap`; else 1)."""

STEPS: Final = 1000
"""Noise levels of SD 3 and FLUX; a timestep is `STEPS * sigma`."""


@dataclass(frozen=True)
class RectifiedFlow:
    """x_t = (1 - sigma) x + sigma eps, and the network predicts eps - x.

    Timesteps are `1000 sigma`, float32. Densities and weights have the names and formulas of diffusers'
    training scripts, which compute them in `diffusers.training_utils`.
    """

    shift: float = 1.0
    """sigma -> shift sigma / (1 + (shift - 1) sigma) (Esser et al. 2024, eq. 23): more noise above 1."""
    weighting_scheme: WeightingScheme = "none"
    logit_mean: float = 0.0
    """Of `logit_normal`. As in diffusers, a positive mean favours low noise."""
    logit_std: float = 1.0
    mode_scale: float = 1.29
    precondition_outputs: bool = False
    """Compare predicted with clean latents, as diffusers' script for SD 3 does: a loss weight of sigma^2."""

    def __post_init__(self) -> None:
        if self.shift <= 0 or self.logit_std <= 0 or self.weighting_scheme not in get_args(WeightingScheme):
            raise MethodError(
                f"rectified flow: shift {self.shift}, logit_std {self.logit_std}, weighting_scheme "
                f"{self.weighting_scheme!r}; expected numbers above 0 and one of "
                f"{', '.join(get_args(WeightingScheme))}"
            )

    @property
    def prediction(self) -> str:
        return "flow_prediction"

    def with_settings(self, **settings: Any) -> RectifiedFlow:
        """Return the schedule with other values of these fields; raises MethodError for an impossible one."""
        return replace(self, **settings)

    def random_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample `count` independent timesteps of the density, one of the `STEPS` levels each."""
        if self.weighting_scheme == "logit_normal":
            u = torch.randn(count, generator=generator) * self.logit_std + self.logit_mean
            return self._level(u.sigmoid())
        return self._level(self._mode(torch.rand(count, generator=generator)))

    def sample_timesteps(
        self, count: int, generator: torch.Generator, *, timestep_power: float = 1.0
    ) -> Tensor:
        """Sample `count` timesteps of the density, one from each of `count` equally likely strata.

        The quantiles of noise are raised to 1 / `timestep_power`: values above 1 favour noise.
        """
        quantiles = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        noise = quantiles ** (1 / timestep_power)
        # diffusers counts from noise to data, and `mode` backwards.
        u = noise if self.weighting_scheme == "mode" else 1 - noise
        if self.weighting_scheme == "logit_normal":
            z = math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))
            return self._level((z * self.logit_std + self.logit_mean).sigmoid())
        return self._level(self._mode(u))

    def sigma(self, t: Tensor) -> Tensor:
        """Share of noise at `t`. Shape (B, 1, 1, 1)."""
        return (t / STEPS).view(-1, 1, 1, 1)

    def add(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = (1 - sigma) x + sigma eps."""
        sigma = self.sigma(t)
        return (1 - sigma) * x + sigma * eps

    def target(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The velocity eps - x, the same at every `t`."""
        return eps - x

    def weight(self, t: Tensor, gamma: float | None) -> Tensor:
        """Loss weight of each row by `weighting_scheme`, (B,); raises MethodError for Min-SNR."""
        if gamma is not None:
            raise MethodError("min_snr weights a U-Net's loss; of rectified flow, set weighting_scheme")
        sigma = t / STEPS
        weight = torch.ones_like(sigma)
        if self.weighting_scheme == "sigma_sqrt":
            weight = sigma**-2.0
        elif self.weighting_scheme == "cosmap":
            weight = 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2))
        return weight * sigma**2 if self.precondition_outputs else weight

    def _mode(self, u: Tensor) -> Tensor:
        if self.weighting_scheme != "mode":
            return u
        return 1 - u - self.mode_scale * (torch.cos(math.pi * u / 2) ** 2 - 1 + u)

    def _level(self, u: Tensor) -> Tensor:
        """The timestep at the share `u` of diffusers' table, which begins with noise, and shifted."""
        index = (u * STEPS).long().clamp(0, STEPS - 1)
        sigma = (STEPS - index) / STEPS
        return STEPS * self.shift * sigma / (1 + (self.shift - 1) * sigma)
