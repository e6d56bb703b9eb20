"""Stored latents: encoded once, and again for other photographs or another autoencoder."""

from __future__ import annotations

from pathlib import Path

import torch
from squares import Squares

from methods.tiny_sd.autoencoder import encode_all, new_autoencoder
from methods.tiny_sd.captions import CaptionBank
from methods.tiny_sd.encoded_set import EncodedSet, cached_latents
from methods.tiny_sd.transformer import NOISE

CPU = torch.device("cpu")


def test_latents_are_read_only_for_the_same_photographs_and_autoencoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    autoencoder, data = new_autoencoder(widths=(8, 16, 16)), Squares(4, 2)
    first = cached_latents(data, autoencoder, CPU, tmp_path)
    torch.testing.assert_close(
        first[:, 0].float(), encode_all(autoencoder, data.pixels, CPU), atol=5e-3, rtol=5e-3
    )
    mirrored = encode_all(autoencoder, data.pixels[:, :, ::-1], CPU)
    torch.testing.assert_close(first[:, 1].float(), mirrored, atol=5e-3, rtol=5e-3)

    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    assert torch.equal(cached_latents(data, autoencoder, CPU, tmp_path), first)
    assert file.stat().st_mtime_ns == written

    torch.nn.init.ones_(autoencoder.quant_conv.bias)
    assert not torch.equal(cached_latents(data, autoencoder, CPU, tmp_path), first)
    data.pixels = data.pixels[::-1]
    cached_latents(data, autoencoder, CPU, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_as_many_images_have_attribute_tokens_in_every_batch_and_in_its_halves() -> None:
    captions = CaptionBank(torch.zeros(3, 2, 1, 4, dtype=torch.int16))
    encoded = EncodedSet(torch.zeros(3, 2, 1, 2, 2), captions, torch.zeros(1, 4, dtype=torch.long))
    for seed in range(3):
        batch = encoded.sample(10, torch.Generator().manual_seed(seed), NOISE.sample_timesteps, 0.4)
        assert int(batch.described.sum()) == 4
        assert int(batch.part(slice(0, 5)).described.sum()) == 2
