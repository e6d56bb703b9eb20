"""The autoencoder of the tiny Stable Diffusion: AutoencoderKL, trained on rendered people."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from methods.pretraining.loop import Progress, Schedule, optimize_whole_batches

SCHEDULE = Schedule(steps=4_000, batch=16, learning_rate=2e-3, warm_up=100, decay_from=0.3)
"""Small batches and a loss dominated by squared error converge fastest at this size."""

CONTINUED_SCHEDULE = Schedule(steps=6_000, batch=16, learning_rate=1.5e-3, warm_up=100, decay_from=0.2)
"""For training that starts from a finished network."""
DECODER_SCHEDULE = Schedule(steps=2_500, batch=16, learning_rate=1.2e-3, warm_up=100, decay_from=0.15)
CHANNELS = 8
WIDTHS = (16, 32, 64)

LATENT_NOISE = 0.1
"""Standard deviation of the noise added to latents in training, as a share of the channel's own.

It replaces a KL term, which collapsed half of the channels. With noise every channel carries information, at
a resolution that the U-Net's imprecise latents can reach.
"""
DECODER_NOISE = 0.05
"""The same, while the decoder is trained alone."""
SHARPENING_SCHEDULE = Schedule(steps=12_000, batch=16, learning_rate=1e-3, warm_up=100)
SMALL_ERROR = 0.02
"""Of pixels in -1..1: below it the loss of `sharpening_loss` is nearly linear, above it logarithmic."""
SMALL_ERRORS_WEIGHT = 0.05
"""Of that term, relative to `reconstruction_loss`."""
MIN_LOG_VARIANCE = -30.0
"""Log variance of a near-deterministic posterior; diffusers clips at this value."""
FACE = (0.54, 0.5, 0.33, 0.27)
"""Centre (y, x) and radii (y, x) of the face as shares of the image side; photographs are eye-aligned."""
FACE_WEIGHT = 5.0
"""Weight of an error inside the face relative to one outside. The face is a fifth of the image."""


def new_autoencoder(
    *, widths: tuple[int, ...] = WIDTHS, channels: int = CHANNELS, size: int = 64
) -> AutoencoderKL:
    """An untrained network that downsamples images by 2 ** (len(widths) - 1)."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        sample_size=size,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels N x H x W x 3 in 0..255 to N x 3 x H x W in -1..1."""
    return torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@cache
def face_weights(size: int) -> Tensor:
    """Loss weights, size x size, mean 1: FACE_WEIGHT times higher inside the face, with a soft border."""
    down, across, high, wide = FACE
    y, x = torch.meshgrid(*(torch.arange(size) / size,) * 2, indexing="ij")
    inside = torch.sigmoid(12 * (1 - (((y - down) / high) ** 2 + ((x - across) / wide) ** 2).sqrt()))
    weights = 1 + (FACE_WEIGHT - 1) * inside
    return weights / weights.mean()


def reconstruction_loss(restored: Tensor, image: Tensor) -> Tensor:
    """Squared, absolute and gradient error, weighted by `face_weights`; the gradient error keeps edges."""
    weights = face_weights(image.shape[-1]).to(image.device)
    error = restored - image
    loss = (weights * (5 * error.square() + 0.5 * error.abs())).mean()
    for axis in (0, 1):
        slope = error.diff(dim=axis + 2).abs()
        loss = loss + 0.25 * (weights.narrow(axis, 0, slope.shape[axis + 2]) * slope).mean()
    return loss


def train_autoencoder(
    pixels: NDArray[np.uint8],
    *,
    schedule: Schedule,
    checkpoint: Path,
    device: torch.device,
    progress: Progress,
    autoencoder: AutoencoderKL | None = None,
    stop_at: int | None = None,
) -> AutoencoderKL:
    """Train on `pixels` (N x H x W x 3); latents have mean 0 and deviation 1 per channel."""
    network = autoencoder or new_autoencoder()
    network = network.to(device)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(pixels), (schedule.batch,), generator=generator).numpy()
        image = as_tensor(pixels[np.sort(rows)])
        if torch.rand((), generator=generator) < 0.5:
            image = image.flip(3)
        image = image.to(device)
        latent = network.encode(image).latent_dist.mean
        # Noise in proportion to the channel's spread: larger latents do not reduce it.
        latent = latent + LATENT_NOISE * latent.std((0, 2, 3), keepdim=True) * _noise(latent, generator)
        restored: Tensor = network.decode(latent).sample
        return reconstruction_loss(restored.float(), image)

    optimize_whole_batches(
        network, loss, schedule, checkpoint=checkpoint, progress=progress, device=device, stop_at=stop_at
    )
    normalise_latents(network, pixels[:: max(1, len(pixels) // 2000)], device)
    return network


def sharpening_loss(restored: Tensor, image: Tensor) -> Tensor:
    """`reconstruction_loss` plus log(1 + |error| / SMALL_ERROR), whose gradient is largest at small errors.

    The other terms hardly see errors of a few grey levels, which blur skin and mottle plain backgrounds.
    """
    small = torch.log1p((restored - image).abs() / SMALL_ERROR).mean()
    return reconstruction_loss(restored, image) + SMALL_ERRORS_WEIGHT * small


def train_decoder(
    network: AutoencoderKL,
    pixels: NDArray[np.uint8],
    latents: Callable[[], Tensor],
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = reconstruction_loss,
    schedule: Schedule,
    checkpoint: Path,
    device: torch.device,
    progress: Progress,
) -> None:
    """Train the decoder alone on fixed latents, so networks trained on the latents remain valid.

    `latents` gives those of `pixels` and of their mirror images, N x 2 x C x h x w; it is called if there are
    steps left. `loss` compares restored with original images, B x 3 x H x W in -1..1.
    """
    network = network.to(device).requires_grad_(False)
    for part in (network.decoder, network.post_quant_conv):
        part.requires_grad_(True)
    views = [pixels, pixels[:, :, ::-1]]
    encoded = cache(latents)

    def batch_loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(pixels), (schedule.batch,), generator=generator).sort().values
        side = int(torch.randint(2, (), generator=generator))
        latent = encoded()[rows, side].float()
        latent = latent + DECODER_NOISE * _noise(latent, generator)
        restored: Tensor = network.decode(latent.to(device)).sample
        return loss(restored.float(), as_tensor(views[side][rows.numpy()]).to(device))

    optimize_whole_batches(
        network, batch_loss, schedule, checkpoint=checkpoint, progress=progress, device=device
    )
    network.requires_grad_(True)


@torch.no_grad()
def encode_all(
    network: AutoencoderKL, pixels: NDArray[np.uint8], device: torch.device, batch: int = 128
) -> Tensor:
    """The posterior's mode of each image, N x channels x h x w, on the CPU."""
    parts = [
        network.encode(as_tensor(pixels[i : i + batch]).to(device)).latent_dist.mode().cpu()
        for i in range(0, len(pixels), batch)
    ]
    return torch.cat(parts)


@torch.no_grad()
def normalise_latents(network: AutoencoderKL, pixels: NDArray[np.uint8], device: torch.device) -> None:
    """Fold a per-channel shift and scale into the 1x1 convolutions around the latent.

    Stable Diffusion has one scaling factor for all channels, so in channels of unequal spread the noise
    schedule has different signal-to-noise ratios. After this the factor is 1 and all spreads are equal.
    """
    latents = encode_all(network, pixels, device)
    mean, deviation = latents.mean((0, 2, 3)).to(device), latents.std((0, 2, 3)).to(device)
    channels = len(mean)
    before, after = network.quant_conv, network.post_quant_conv
    before.weight[:channels] /= deviation[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / deviation
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= deviation[None, :, None, None]


@torch.no_grad()
def make_deterministic(network: AutoencoderKL) -> None:
    """Reduce the posterior to its mode, on which the U-Net is trained.

    Its variance is never trained. Sampling the posterior, as the usual DreamBooth recipe does, then returns
    the mode.
    """
    channels = network.config.latent_channels
    network.quant_conv.weight[channels:] = 0
    network.quant_conv.bias[channels:] = MIN_LOG_VARIANCE


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device, like.dtype)
