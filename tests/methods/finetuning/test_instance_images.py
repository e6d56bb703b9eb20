"""A subject's photographs as latents: crops, mirroring, posterior samples, order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from methods.backbone.backbone import Backbone
from methods.backbone.images import tensor
from methods.finetuning.instance_images import EpochShuffler, InstanceImages


def gradient(width: int, height: int) -> Image.Image:
    """An image in which neighbouring pixels differ."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 7 % 256, y * 11 % 256, (x + y) * 5 % 256], axis=2).astype(np.uint8))


def instance_images(backbone: Backbone, image: Image.Image, **settings: Any) -> InstanceImages:
    chosen: dict[str, Any] = {"crop": "centre", "flip": False, "latents": "mode", **settings}
    return InstanceImages([image], backbone, **chosen)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_centre_crop_is_the_central_square(backbone: Backbone) -> None:
    image = gradient(20, 16)
    latents, ids = instance_images(backbone, image).show([0], seeded(0))
    assert torch.equal(latents, backbone.encode_pixels(tensor([image.crop((2, 0, 18, 16))])))
    assert ids.tolist() == [[16, 20, 0, 2, 16, 16]]


def test_random_crop_reports_its_position(backbone: Backbone) -> None:
    image = gradient(16, 24)
    photos = instance_images(backbone, image, crop="random")
    tops = set()
    for seed in range(8):
        latents, ids = photos.show([0], seeded(seed))
        _, _, top, left, *_ = ids[0].tolist()
        tops.add(top)
        assert left == 0
        view = image.crop((0, top, 16, top + 16))
        assert torch.equal(latents, backbone.encode_pixels(tensor([view])))
    assert len(tops) > 2
    assert all(0 <= top <= 8 for top in tops)


def test_squeeze_resizes_the_whole_photograph(backbone: Backbone) -> None:
    image = gradient(40, 16)
    latents, ids = instance_images(backbone, image, crop="squeeze").show([0], seeded(0))
    stretched_to_square = image.resize((16, 16), Image.Resampling.BICUBIC)
    assert torch.equal(latents, backbone.encode_pixels(tensor([stretched_to_square])))
    assert ids.tolist() == [[16, 40, 0, 0, 16, 16]]


def test_flip_mirrors_half_of_the_photographs(backbone: Backbone) -> None:
    image = gradient(16, 16)
    plain, mirrored = (backbone.encode_pixels(tensor([view]))[0] for view in (image, ImageOps.mirror(image)))
    latents, _ = instance_images(backbone, image, flip=True).show([0] * 40, seeded(0))
    flipped = [bool(torch.equal(each, mirrored)) for each in latents]
    expected = [mirrored if is_flipped else plain for is_flipped in flipped]
    assert torch.equal(latents, torch.stack(expected))
    assert 10 < sum(flipped) < 30


def test_latents_are_new_samples_of_the_posterior(backbone: Backbone) -> None:
    image = gradient(16, 16)
    mean, deviation = backbone.encode_posterior(tensor([image]))
    latents, _ = instance_images(backbone, image, latents="sample").show([0] * 400, seeded(0))
    assert not torch.equal(latents[0], latents[1])
    assert torch.allclose(latents.mean(dim=0), mean[0], atol=5 * float(deviation.max()) / 20)
    assert torch.allclose(latents.std(dim=0), deviation[0], rtol=0.3)


def test_every_epoch_has_every_row_once() -> None:
    turns = EpochShuffler(4, seed=3)
    rounds = [tuple(turns.rows(start, 4)) for start in range(0, 40, 4)]
    assert all(sorted(each) == [0, 1, 2, 3] for each in rounds)
    assert len(set(rounds)) > 3
    assert turns.rows(2, 4) == [*rounds[0][2:], *rounds[1][:2]]
