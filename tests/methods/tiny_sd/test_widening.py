"""A widened U-Net computes the same function; a deterministic autoencoder returns its mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel

from methods.errors import MethodError
from methods.tiny_sd.autoencoder import make_deterministic, new_autoencoder
from methods.tiny_sd.unet import new_unet
from methods.tiny_sd.widening import widened_unet

WIDTHS = (8, 16, 16)


def _unet(channels: int, **changes: object) -> UNet2DConditionModel:
    network = new_unet(channels=channels, size=4, text_width=8, widths=(32, 32))
    return UNet2DConditionModel.from_config({**network.config, **changes}).eval()


@pytest.mark.parametrize("types", [{}, {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}])
def test_widened_unet_predicts_the_same_and_zero_in_new_channels(types: dict[str, object]) -> None:
    torch.manual_seed(0)
    old = _unet(3, **types)
    new = widened_unet(old, _unet(5))
    latent, step, text = torch.randn(2, 5, 4, 4), torch.tensor([3, 900]), torch.randn(2, 6, 8)
    with torch.no_grad():
        predicted = new(latent, step, encoder_hidden_states=text).sample
        torch.testing.assert_close(
            predicted[:, :3],
            old(latent[:, :3], step, encoder_hidden_states=text).sample,
            atol=1e-5,
            rtol=1e-5,
        )
    assert not predicted[:, 3:].any()


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (lambda: _unet(6), "6 channels cannot be widened to 5"),
        (lambda: _unet(5, cross_attention_dim=16), "does not fit"),
        (lambda: _unet(5, layers_per_block=2), "not in the new one"),
        (
            lambda: _unet(5, up_block_types=("UpBlock2D", "UpBlock2D"), layers_per_block=0),
            "missing in the network",
        ),
    ],
)
def test_start_of_another_architecture_is_refused(
    start: Callable[[], UNet2DConditionModel], words: str
) -> None:
    with pytest.raises(MethodError, match=words):
        widened_unet(start(), _unet(5))


def test_deterministic_autoencoder_samples_its_mode() -> None:
    torch.manual_seed(0)
    network = new_autoencoder(widths=WIDTHS, channels=3).eval()
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        before = network.encode(image).latent_dist.mode()
        make_deterministic(network)
        after = network.encode(image).latent_dist
    assert torch.equal(after.mode(), before)
    torch.testing.assert_close(after.sample(), before, atol=1e-5, rtol=0)
