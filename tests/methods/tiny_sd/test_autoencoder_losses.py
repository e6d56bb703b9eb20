"""The losses of the autoencoder's decoder."""

from __future__ import annotations

import torch

from methods.tiny_sd.autoencoder import (
    SMALL_ERROR,
    SMALL_ERRORS_WEIGHT,
    reconstruction_loss,
    sharpening_loss,
)


def test_sharpening_loss_adds_a_logarithm_of_the_error() -> None:
    image = torch.zeros(1, 3, 16, 16)
    error = 3 * SMALL_ERROR
    added = sharpening_loss(image + error, image) - reconstruction_loss(image + error, image)
    torch.testing.assert_close(float(added), SMALL_ERRORS_WEIGHT * float(torch.tensor(4.0).log()))


def test_sharpening_loss_prefers_few_large_errors_to_many_small_ones() -> None:
    """Of two images with the same absolute error: the opposite of a squared error."""
    image = torch.zeros(1, 3, 16, 16)
    spread, sparse = torch.full_like(image, 0.02), torch.zeros_like(image)
    sparse[..., ::4] = 0.08

    def added(restored: torch.Tensor) -> float:
        return float(sharpening_loss(restored, image) - reconstruction_loss(restored, image))

    assert added(sparse) < 0.7 * added(spread)
