"""Networks that were made larger go on computing what they computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel

from methods.errors import MethodError
from methods.tiny_sd.autoencoder import make_certain, new_autoencoder
from methods.tiny_sd.unet import new_unet
from methods.tiny_sd.widening import grown_autoencoder, grown_unet

WIDTHS = (8, 16, 16)


def test_the_first_channels_of_a_grown_latent_are_the_old_ones() -> None:
    torch.manual_seed(0)
    old = new_autoencoder(widths=WIDTHS, channels=3).eval()
    new = grown_autoencoder(old, 5).eval()
    picture = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        before, after = old.encode(picture).latent_dist, new.encode(picture).latent_dist
        torch.testing.assert_close(after.mean[:, :3], before.mean)
        torch.testing.assert_close(after.logvar[:, :3], before.logvar)
        latent = torch.cat([before.mean, torch.zeros(2, 2, 4, 4)], dim=1)
        torch.testing.assert_close(new.decode(latent).sample, old.decode(before.mean).sample)


def _unet(channels: int, **changes: object) -> UNet2DConditionModel:
    network = new_unet(channels=channels, size=4, text_width=8, widths=(32, 32))
    return UNet2DConditionModel.from_config({**network.config, **changes}).eval()


@pytest.mark.parametrize("types", [{}, {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}])
def test_a_grown_unet_predicts_as_before_and_nothing_in_the_new_channels(types: dict[str, object]) -> None:
    torch.manual_seed(0)
    old = _unet(3, **types)
    new = grown_unet(old, _unet(5))
    latent, step, text = torch.randn(2, 5, 4, 4), torch.tensor([3, 900]), torch.randn(2, 6, 8)
    with torch.no_grad():
        said = new(latent, step, encoder_hidden_states=text).sample
        torch.testing.assert_close(
            said[:, :3], old(latent[:, :3], step, encoder_hidden_states=text).sample, atol=1e-5, rtol=1e-5
        )
    assert not said[:, 3:].any()


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (lambda: _unet(6), "6 channels cannot grow to 5"),
        (lambda: _unet(5, cross_attention_dim=16), "does not fit"),
        (lambda: _unet(5, layers_per_block=2), "not of the new one"),
        (lambda: _unet(5, up_block_types=("UpBlock2D", "UpBlock2D"), layers_per_block=0), "has no such part"),
    ],
)
def test_a_network_that_cannot_be_gone_on_from_is_refused(
    start: Callable[[], UNet2DConditionModel], words: str
) -> None:
    with pytest.raises(MethodError, match=words):
        grown_unet(start(), _unet(5))


def test_what_is_not_larger_is_refused() -> None:
    old = new_autoencoder(widths=WIDTHS, channels=3)
    with pytest.raises(MethodError, match="cannot grow to 3"):
        grown_autoencoder(old, 3)


def test_a_certain_autoencoder_samples_its_mode() -> None:
    torch.manual_seed(0)
    network = new_autoencoder(widths=WIDTHS, channels=3).eval()
    picture = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        before = network.encode(picture).latent_dist.mode()
        make_certain(network)
        after = network.encode(picture).latent_dist
    assert torch.equal(after.mode(), before)
    torch.testing.assert_close(after.sample(), before, atol=1e-5, rtol=0)
