"""The forward process of a backbone: noised latents, what its U-Net should predict, and back to noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.errors import MethodError


@dataclass(frozen=True)
class NoiseSchedule:
    """The discrete variance-preserving schedule that a Stable Diffusion folder was trained with."""

    alphas_cumprod: Tensor
    """Product of the alphas up to each step, float32, shape (steps,), falling."""
    prediction: str
    """What the U-Net predicts: `epsilon` or `v_prediction`."""

    def __post_init__(self) -> None:
        if self.prediction not in ("epsilon", "v_prediction"):
            raise MethodError(
                f"backbone predicts {self.prediction!r}; training here knows epsilon and v_prediction"
            )

    @property
    def steps(self) -> int:
        return len(self.alphas_cumprod)

    def sample_timesteps(
        self, count: int, generator: torch.Generator, *, timestep_power: float = 1.0
    ) -> Tensor:
        """`count` steps, one from each of `count` slices of the schedule that are equally likely.

        The density of a step t grows as t^(lean - 1): 1 is uniform, more leans towards noise. Each row's step
        has that density by itself once rows are exchangeable; the slices make the loss of a batch vary less.
        """
        places = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        if timestep_power != 1:
            places = places ** (1 / timestep_power)
        return (places * self.steps).long().clamp(max=self.steps - 1)

    def alpha(self, t: Tensor) -> Tensor:
        """What is left of the picture at step `t`; alpha^2 + sigma^2 = 1. Shape (B, 1, 1, 1)."""
        return self.alphas_cumprod.to(t.device)[t].sqrt().view(-1, 1, 1, 1)

    def sigma(self, t: Tensor) -> Tensor:
        """How much noise there is at step `t`. Shape (B, 1, 1, 1)."""
        return (1 - self.alphas_cumprod.to(t.device)[t]).sqrt().view(-1, 1, 1, 1)

    def add(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha_t x + sigma_t eps (Ho et al. 2020, eq. 4)."""
        return self.alpha(t) * x + self.sigma(t) * eps

    def target(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the U-Net should say at x_t: eps, or v = alpha_t eps - sigma_t x (Salimans and Ho 2022)."""
        if self.prediction == "epsilon":
            return eps
        return self.alpha(t) * eps - self.sigma(t) * x

    def noise_of(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The noise that the U-Net's output means: eps = alpha_t v + sigma_t x_t."""
        if self.prediction == "epsilon":
            return output
        return self.alpha(t) * output + self.sigma(t) * x_t

    def weight(self, t: Tensor, gamma: float | None) -> Tensor:
        """Min-SNR weight of each step's loss (Hang et al. 2023); ones where `gamma` is None. Shape (B,)."""
        if gamma is None:
            return torch.ones(len(t), device=t.device)
        share = self.alphas_cumprod.to(t.device)[t]
        snr = share / (1 - share)
        clipped = snr.clamp(max=gamma)
        return clipped / snr if self.prediction == "epsilon" else clipped / (snr + 1)
